// The live page: documents of GET /events (live.go says what is in them) → sentences, charts, tables.
//
//	numbers      how they are printed
//	kept         what this page keeps: ten minutes
//	tables       rows that change in place
//	charts       uPlot, a table beside each
//	state        the four sentences on top
//	panels       what is shown, of which fields
//	stream       EventSource, and when it is lost
//
// Keys and warnings are anybody's input: all text gets into the page by textContent.
'use strict';
(() => {

const $ = id => document.getElementById(id);
const kept = 600;    // seconds that the charts go back
const recent = 10;   // seconds that "at present" is about
const patience = 5;  // seconds without an event until the page says so: one comes every second

// ---- numbers

const nbsp = '\u00a0';
const grouped = [0, 1, 2].map(n =>
	new Intl.NumberFormat('en', {minimumFractionDigits: n, maximumFractionDigits: n}));

// threeDigits is a number below 1,000, or a few more.
const threeDigits = x => grouped[x >= 99.95 || x === 0 ? 0 : x >= 9.995 ? 1 : 2].format(x);

// trimmed is a number without zeros at its end, as at an axis.
const upToTwo = new Intl.NumberFormat('en', {maximumFractionDigits: 2});
const trimmed = x => upToTwo.format(x);

function scaled(x, base, units, digits) {
	let i = 0;
	while (x >= base * 0.9995 && i < units.length - 1) {
		x /= base;
		i++;
	}
	return (i === 0 && digits !== trimmed ? grouped[0].format(x) : digits(x)) + (units[i] && nbsp + units[i]);
}

const thousands = ['', 'k', 'M', 'G', 'T'];
const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
const timeUnits = ['µs', 'ms', 's'];

const known = f => x => x === null || x === undefined || Number.isNaN(x) ? '–' : f(x);
const count = known(x => x < 999950 ? grouped[0].format(x) : scaled(x, 1000, thousands, threeDigits));
const rate = known(x => x > 0 && x < 9.95 ? grouped[x < 0.95 ? 2 : 1].format(x) : count(x));
const bytes = known(x => scaled(x, 1024, byteUnits, threeDigits));
const byteRate = known(x => bytes(x) + '/s');
const micros = known(x => x < 999.5 ? threeDigits(x) + nbsp + 'µs' : scaled(x, 1000, timeUnits, threeDigits));
const percent = known(x => grouped[1].format(100 * x) + nbsp + '%');
const points = known(x => (x < 0 ? '−' : '+') + grouped[1].format(Math.abs(100 * x)));
const share = known(x => grouped[0].format(100 * x) + nbsp + '%');

// These are for axes.
const atCount = x => scaled(x, 1000, thousands, trimmed);
const atBytes = x => scaled(x, 1024, byteUnits, trimmed);
const atMicros = x => scaled(x, 1000, timeUnits, trimmed);

// span is a length of time.
const span = known(s => {
	for (const [unit, name] of [[86400, 'd'], [3600, 'h'], [60, 'min']]) {
		if (s >= 2 * unit || (s >= unit && s % unit === 0)) {
			const n = s / unit;
			return grouped[n < 10 && n % 1 >= 0.05 ? 1 : 0].format(n) + nbsp + name;
		}
	}
	return grouped[s > 0 && s < 9.95 && s % 1 >= 0.05 ? 1 : 0].format(s) + nbsp + 's';
});

const two = n => String(n).padStart(2, '0');
function clock(ms) {
	const d = new Date(ms);
	return two(d.getHours()) + ':' + two(d.getMinutes()) + ':' + two(d.getSeconds());
}
// when has the date, too, where it is not today's.
function when(ms) {
	const d = new Date(ms);
	return d.toDateString() === new Date().toDateString() ? clock(ms) :
		d.getFullYear() + '-' + two(d.getMonth() + 1) + '-' + two(d.getDate()) + ' ' + clock(ms);
}
const plural = (n, one, many) => count(n) + ' ' + (n === 1 ? one : many);

// ---- kept

let log = [];    // {time, over, since} of the events of the last ten minutes; time in seconds
let last = null; // the last document

// sum adds up a number of Since over the last seconds.
function sum(name, seconds) {
	const from = log.length ? log[log.length - 1].time - seconds : 0;
	let n = 0;
	for (let i = log.length - 1; i >= 0 && log[i].time > from; i--) {
		n += log[i].since[name];
	}
	return n;
}

// covered is of how many of the last seconds there are numbers.
function covered(seconds) {
	const from = log.length ? log[log.length - 1].time - seconds : 0;
	let n = 0;
	for (let i = log.length - 1; i >= 0 && log[i].time > from; i--) {
		n += log[i].over;
	}
	return n;
}

// perSecond is a number of Since as a rate; null: not known yet.
function perSecond(name, seconds) {
	const over = covered(seconds);
	return over > 0 ? sum(name, seconds) / over : null;
}

const part = (of, other) => of + other > 0 ? of / (of + other) : null;

// ---- tables

function text(node, value) {
	if (node.textContent !== value) {
		node.textContent = value;
	}
}

function element(name, className) {
	const node = document.createElement(name);
	if (className) {
		node.className = className;
	}
	return node;
}

// fill has a table's body show rows, in the elements that it has. A cell is a text, or {bar: 0 to 1},
// or {key: a text}, or {line or area: a class, text}. The first cell of a row is its head.
function fill(body, rows) {
	while (body.rows.length > rows.length) {
		body.deleteRow(-1);
	}
	rows.forEach((cells, r) => {
		const row = body.rows[r] || body.insertRow();
		while (row.cells.length > cells.length) {
			row.deleteCell(-1);
		}
		cells.forEach((cell, c) => {
			let node = row.cells[c];
			if (!node) {
				node = row.appendChild(element(c === 0 ? 'th' : 'td'));
				if (c === 0) {
					node.scope = 'row';
				}
			}
			show(node, typeof cell === 'string' ? {text: cell} : cell);
		});
	});
}

function show(node, cell) {
	if (cell.bar !== undefined) {
		let bar = node.firstElementChild;
		if (!bar) {
			node.className = 'wide';
			bar = node.appendChild(element('span', 'bar'));
		}
		bar.style.width = (100 * cell.bar).toFixed(1) + '%';
		return;
	}
	const mark = cell.line || cell.area;
	if (mark) {
		if (!node.firstElementChild) {
			node.append(element('i', (cell.line ? 'line ' : 'area ') + mark), document.createTextNode(''));
		}
		if (node.lastChild.data !== cell.text) {
			node.lastChild.data = cell.text;
		}
		return;
	}
	if (node.className !== (cell.as || '')) {
		node.className = cell.as || '';
	}
	text(node, cell.text);
}

// ---- charts

let colours = {};
const colour = name => colours[name] ||
	(colours[name] = getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim());
const charts = [];

function repaint() {
	colours = {};
	charts.forEach(c => c.plot.redraw(false));
}

const axisFont = '11px system-ui, sans-serif';
const axis = more => ({
	stroke: () => colour('muted'), font: axisFont, gap: 4,
	grid: {stroke: () => colour('grid'), width: 1}, ticks: {show: false}, border: {show: false}, ...more,
});

// Steps of the axes of numbers, of bytes, and of times.
const whole = Array.from({length: 36}, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3));
const wholePercents = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
const powersOfTwo = Array.from({length: 50}, (_, i) => 2 ** i);
const decades = (u, i, from, to) => Array.from({length: 9}, (_, i) => 10 ** i).filter(x => x >= from * 0.99 && x <= to * 1.01);

// clocks prints moments of the time axis, with seconds where there are any, and none that would be cut.
const clocks = (u, splits) => splits.map(s => {
	const left = u.valToPos(s, 'x');
	return left < 20 || left > u.width - 92 ? '' : clock(1000 * s).slice(0, s % 60 === 0 ? 5 : 8);
});

// moment is what the arrow keys have chosen, in seconds; null: nothing, the last numbers are shown.
let moment = null;

// choose has all charts show a moment.
function choose(time) {
	moment = time;
	charts.forEach(c => c.point && c.point());
}

// timeChart is a chart of the last ten minutes and the table below it.
//
//	lines     [{name, as: class of its colour, or none: it is in the table alone, dash, of: document → number or null, print}], top to bottom
//	stacked   they are areas, each on top of those after it
//	print     how numbers are printed; ticks: those of the axis
//	range     of the y axis: (lowest, highest) → [from, to]
//	table     false: there is a table already
function timeChart(id, label, {lines, stacked, print, ticks, range, incrs, splits, scale, table = true}) {
	const box = $(id);
	const none = box.appendChild(element('p', 'none'));
	text(none, 'no data yet');
	const times = [];
	const values = lines.map(() => []);
	const heights = stacked ? lines.map(() => []) : values; // what is drawn
	const size = () => ({width: Math.max(box.clientWidth, 100), height: box.clientHeight});

	const plot = new uPlot({
		...size(),
		legend: {show: false},
		padding: [6, 8, 0, 0],
		cursor: {y: false, drag: {x: false, y: false}, sync: {key: 'moment'}, points: {size: 6, width: 1}},
		focus: {alpha: 1},
		scales: {
			x: {time: true, range: (u, from, to) => [to - Math.min(kept, Math.max(60, to - from)), to]},
			y: {range: range ? (u, low, high) => range(low, high) : (u, low, high) => [0, Math.max(high * 1.08, 2)], ...scale},
		},
		axes: [
			axis({values: clocks, space: 64, size: 22}),
			axis({values: (u, splits) => splits.map(s => s === null ? '' : ticks(s)), space: 28, size: 58, ...(incrs && {incrs}), ...(splits && {splits})}),
		],
		series: [{}, ...lines.map(line => ({
			show: Boolean(line.as),
			stroke: () => colour(line.as), width: stacked ? 0 : 1.5, dash: line.dash && [2, 3],
			fill: stacked ? () => colour(line.as) : undefined,
			points: {show: (u, i, from, to) => to - from < 2}, spanGaps: false,
		}))],
		hooks: {setCursor: [() => { if (!quiet) { list(); } }]},
	}, [times, ...heights], box);
	plot.root.setAttribute('aria-hidden', 'true');
	let quiet = false;

	box.tabIndex = 0;
	box.setAttribute('role', 'slider');
	box.setAttribute('aria-label', label + ', over time. The numbers are in the table below');
	new ResizeObserver(() => plot.setSize(size())).observe(box);

	const body = $(id + '-t');
	const head = table && body.parentNode.tHead.insertRow();
	if (table) {
		for (const name of ['', 'now', 'average', 'highest']) {
			const th = head.appendChild(element('th'));
			th.scope = 'col';
			text(th, name);
		}
		head.cells[0].append(element('span', 'unseen'));
		text(head.cells[0].firstChild, 'What');
	}

	// list shows the numbers at the chosen moment, or the last ones.
	function list() {
		if (!table) {
			return;
		}
		const at = plot.cursor.idx;
		const chosen = at !== null && at !== undefined && at < times.length;
		text(head.cells[1], chosen ? clock(1000 * times[at]) : 'now');
		fill(body, lines.map((line, i) => {
			const all = values[i];
			let n = 0, total = 0, high = null;
			for (const v of all) {
				if (v !== null) {
					n++;
					total += v;
					high = high === null || v > high ? v : high;
				}
			}
			const p = line.print || print;
			return [
				line.as ? {[stacked ? 'area' : 'line']: line.as + (line.dash ? ' dash' : ''), text: line.name} : line.name,
				p(all[chosen ? at : all.length - 1]), p(n ? total / n : null), p(high),
			];
		}));
	}

	// say is the chosen moment in words, for who cannot see the chart.
	function say() {
		const at = moment === null ? times.length - 1 : nearest(moment);
		const then = at < 0 ? 'no data yet' : clock(1000 * times[at]) + ': ' +
			lines.map((line, i) => line.name + ' ' + (line.print || print)(values[i][at])).join(', ');
		box.setAttribute('aria-valuemin', 0);
		box.setAttribute('aria-valuemax', Math.max(0, times.length - 1));
		box.setAttribute('aria-valuenow', Math.max(0, at));
		box.setAttribute('aria-valuetext', then);
	}
	const nearest = time => {
		let i = times.length - 1;
		while (i > 0 && times[i] > time) {
			i--;
		}
		return i;
	};
	function point() {
		if (moment === null) {
			plot.setCursor({left: -10, top: -10}, true, false);
		} else if (times.length) {
			plot.setCursor({left: plot.valToPos(times[nearest(moment)], 'x'), top: 0}, true, false);
		}
	}

	say();
	box.addEventListener('focus', say);
	box.addEventListener('blur', () => moment !== null && choose(null));
	box.addEventListener('keydown', e => {
		const at = moment === null ? times.length - 1 : nearest(moment);
		const to = {ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1,
			PageDown: at - 60, PageUp: at + 60, Home: 0, End: times.length - 1}[e.key];
		if (e.key === 'Escape') {
			choose(null);
		} else if (to !== undefined && times.length) {
			choose(times[Math.min(Math.max(to, 0), times.length - 1)]);
		} else {
			return;
		}
		e.preventDefault();
		say();
	});

	// push adds an event, or, without a document, a gap.
	function push(time, doc) {
		times.push(time);
		let below = 0;
		for (let i = lines.length - 1; i >= 0; i--) {
			const v = doc ? lines[i].of(doc) : null;
			values[i].push(v === undefined ? null : v);
			if (stacked) {
				below += v || 0;
				heights[i].push(doc ? below : null);
			}
		}
		while (times[0] < time - kept) {
			times.shift();
			values.forEach(v => v.shift());
			if (stacked) {
				heights.forEach(v => v.shift());
			}
		}
	}

	function draw() {
		quiet = true; // one list at the end will do
		plot.setData([times, ...heights]);
		if (moment !== null) {
			point();
		}
		quiet = false;
		none.hidden = values.some((v, i) => lines[i].as && v.some(x => x !== null));
		list();
	}

	// again forgets what lines have been, when what they are of has changed.
	function again() {
		times.length = 0;
		values.concat(heights).forEach(v => { v.length = 0; });
	}

	const chart = {plot, push, draw, point, again, times};
	charts.push(chart);
	list();
	return chart;
}

// ---- panels: charts

const perSec = name => doc => doc.over > 0 ? doc.since[name] / doc.over : null;
const inItems = doc => {
	// Segments are counted whole, but the memory of a new one comes as it is written to.
	const {dead, index} = doc.store;
	const live = Math.max(0, Math.min(doc.store.live, doc.memory.items - dead - index));
	return {live, dead, index, free: Math.max(0, doc.memory.items - live - dead - index)};
};

const timed = [
	timeChart('requests', 'Requests a second by command', {
		print: rate, ticks: atCount, incrs: whole,
		lines: [
			{name: 'get', as: 's1', of: perSec('get')},
			{name: 'set', as: 's2', of: perSec('set')},
			{name: 'delete', as: 's3', of: perSec('delete')},
			{name: 'incr, decr', as: 's4', of: perSec('count')},
			{name: 'touch, gat', as: 's5', of: perSec('touch')},
		],
	}),
	timeChart('ratio', 'Hit ratio', {
		print: percent, ticks: share, incrs: wholePercents,
		range: low => [Math.max(0, Math.min(0.9, Math.floor((low || 0) * 10 - 0.01) / 10)), 1.003],
		lines: [
			{name: 'hit ratio of gets', as: 's1', of: doc => part(doc.since.hits, doc.since.misses)},
			{name: 'hits a second', of: perSec('hits'), print: rate},
			{name: 'misses a second', of: perSec('misses'), print: rate},
			{name: 'expired a second', of: perSec('expired'), print: rate},
			{name: 'evicted a second', of: perSec('evicted'), print: rate},
		],
	}),
	timeChart('memory', 'Memory by area', {
		print: bytes, ticks: atBytes, stacked: true, incrs: powersOfTwo,
		lines: [
			{name: 'rest of the program', as: 's6', of: doc => doc.memory.runtime + doc.memory.program},
			{name: 'connections', as: 's4', of: doc => doc.memory.connections},
			{name: 'index', as: 's3', of: doc => inItems(doc).index},
			{name: 'free', as: 's7', of: doc => inItems(doc).free},
			{name: 'overwritten, deleted', as: 's5', of: doc => inItems(doc).dead},
			{name: 'items', as: 's1', of: doc => inItems(doc).live},
		],
	}),
	timeChart('network', 'Network', {
		print: byteRate, ticks: atBytes, incrs: powersOfTwo,
		lines: [
			{name: 'received', as: 's2', of: perSec('bytesIn')},
			{name: 'sent', as: 's1', of: perSec('bytesOut')},
			{name: 'processors busy', of: doc => doc.over > 0 ? doc.since.cpu / 1e6 / doc.over : null, print: known(x => grouped[2].format(x))},
		],
	}),
	timeChart('conns', 'Connections', {
		print: count, ticks: atCount, incrs: whole,
		lines: [
			{name: 'open', as: 's1', of: doc => doc.clients.current},
			{name: 'slow readers', as: 's2', dash: true, of: doc => doc.clients.behind},
			{name: 'opened a second', as: 's3', of: perSec('accepted'), print: rate},
		],
	}),
];

// Latency is of the kind that is chosen, and kept of all of them.
const kinds = ['get', 'set', 'delete', 'count', 'touch', 'other'];
const kindNames = {count: 'incr, decr'};
const latencyOf = (doc, kind) => doc.latency.find(l => l.kind === kind) || {};
let past = []; // [time, document's latency, or null in a gap]
const latency = timeChart('latency', 'Latency', {
	print: micros, ticks: atMicros, table: false, scale: {distr: 3}, splits: decades,
	range: (low, high) => low > 0 ? [10 ** Math.floor(Math.log10(low * 0.999)), 10 ** Math.ceil(Math.log10(high * 1.001))] : [10, 1000],
	lines: [
		{name: '50 %', as: 's1', of: doc => latencyOf(doc, $('kind').value).p50},
		{name: '99 %', as: 's2', of: doc => latencyOf(doc, $('kind').value).p99},
		{name: '99.9 %', as: 's3', of: doc => latencyOf(doc, $('kind').value).p999},
	],
});
for (const kind of kinds) {
	const option = $('kind').appendChild(element('option'));
	option.value = kind;
	text(option, kindNames[kind] || kind);
}
$('kind').addEventListener('change', () => {
	latency.again();
	past.forEach(([time, l]) => latency.push(time, l && {latency: l}));
	latency.draw();
});

// The curve: hit ratio by memory.
const curveBox = $('curve');
const curveNone = curveBox.appendChild(element('p', 'none'));
const curveSize = () => ({width: Math.max(curveBox.clientWidth, 100), height: curveBox.clientHeight});
const curve = new uPlot({
	...curveSize(),
	legend: {show: false}, cursor: {show: false}, padding: [10, 18, 0, 0],
	scales: {
		x: {time: false, distr: 3, log: 2, range: (u, from, to) => [from / 1.15, to * 1.05]},
		y: {range: (u, low, high) => [Math.max(0, Math.floor((low || 0) * 10 - 0.3) / 10), Math.min(1.003, Math.ceil((high || 1) * 10 + 0.3) / 10)]},
	},
	axes: [
		axis({splits: (u) => u.data[0], values: (u, splits) => splits.map(s => s + '×'), filter: (u, splits) => splits, size: 22}),
		axis({values: (u, splits) => splits.map(share), space: 28, size: 58, incrs: wholePercents}),
	],
	series: [{}, {stroke: () => colour('s1'), width: 1.5, points: {show: true, size: 6, fill: () => colour('panel')}}],
}, [[], []], curveBox);
curve.root.setAttribute('aria-hidden', 'true');
curveBox.setAttribute('role', 'img');
curveBox.setAttribute('aria-label', 'Hit ratio by memory limit. The numbers are in the table below');
new ResizeObserver(() => curve.setSize(curveSize())).observe(curveBox);
charts.push({plot: curve});

// ---- panels: tables

// classes are rows of a histogram: as many classes in a row as have the table of a moderate length.
function classes(counts, print, extra = []) {
	const first = counts.findIndex(n => n > 0);
	const all = counts.reduce((a, b) => a + b, 0) + extra.reduce((a, [, n]) => a + n, 0);
	const step = [1, 2, 3, 4].find(s => Math.ceil((counts.length - first) / s) <= 12) || 4;
	const rows = [];
	if (first >= 0) {
		for (let i = first; i < counts.length; i += step) {
			const upto = Math.min(i + step, counts.length);
			const n = counts.slice(i, upto).reduce((a, b) => a + b, 0);
			rows.push([(i === 0 ? '' : print(2 ** (i - 1)) + ' – ') + print(2 ** (upto - 1)), n]);
		}
		if (first === 0) {
			rows[0][0] = 'up to ' + rows[0][0];
		}
	}
	rows.push(...extra.filter(([, n]) => n > 0));
	const most = Math.max(...rows.map(([, n]) => n));
	return rows.map(([name, n]) => [name, {bar: n / most}, percent(n / all), count(n)]);
}

// tell shows a table and a note below it; or, if there is nothing to show, why.
function tell(id, rows, why, note = '') {
	fill($(id + '-t'), rows);
	text($(id + '-n'), rows.length ? note : why);
}

function showHistograms(doc) {
	tell('sizes', classes(doc.sizes, bytes), 'No data yet: nothing has been stored.',
		'Items stored since the start of the server.');
	tell('ttls', classes(doc.ttls, span, [['never', doc.total.forever]]), 'No data yet: nothing has been stored.',
		'Items stored since the start of the server.');
	const evicted = doc.total.evicted;
	tell('idle', classes(doc.evictedIdle, span), 'No data yet: nothing has been evicted.',
		'Since the start of the server. ' + (evicted ? 'On average they had not been used for ' + span(doc.total.evictedIdle / evicted) + '.' : ''));
	let before = 0;
	const lifetimes = doc.ttlHits.map(t => {
		const name = t.upto === 0 ? 'ever' : before === 0 ? 'up to ' + span(t.upto) : span(before) + ' – ' + span(t.upto);
		before = t.upto;
		const ratio = part(t.hits, t.misses);
		return [name, {bar: ratio || 0}, percent(ratio), count(t.hits + t.misses)];
	}).filter((_, i) => doc.ttlHits[i].hits + doc.ttlHits[i].misses > 0);
	tell('ttlhits', lifetimes, noSample(doc) || 'No data yet: no key of the sample has been asked for.', 'Since the start of the server. Of a sample of keys, those that have been stored: a key that is asked for before it was ever stored, or long after it was evicted, is a miss that is not in here. So these ratios are higher than that of all gets.');
}

function showCurve(doc) {
	const c = doc.curve;
	curveNone.hidden = Boolean(c);
	if (!c) {
		text(curveNone, 'no data yet');
		fill($('curve-t'), []);
		text($('curve-n'), noSample(doc) || 'Not known yet: too few gets of sampled keys have been seen.');
		curve.setData([[], []]);
		return;
	}
	curve.setData([c.points.map(p => p[0]), c.points.map(p => p[1])]);
	const now = at(c, 1);
	fill($('curve-t'), c.points.map(([factor, ratio]) => [
		factor === 1 ? '1 × -m, as it is' : factor + ' × -m', bytes(factor * doc.store.limit), percent(ratio),
		factor === 1 || now === null ? '' : points(ratio - now),
	]));
	text($('curve-n'), 'A simulation with ' + plural(c.keys, 'sampled key', 'sampled keys') + ' and ' + plural(c.gets, 'get', 'gets') +
		' of them, of which the server had ' + percent(c.ratio) + '.');
}

// noSample is why there is no sample of keys, and with it no curve and no ratios by lifetime; '': there is one.
function noSample(doc) {
	return doc.ttlHits.length ? '' : 'Not known: nobody looks, as ' + (doc.store.mayEvict ? '--no-curve' : '-M') + ' says.';
}

// at is the hit ratio that a curve has at a multiple of -m; null: none.
function at(c, factor) {
	const point = c.points.find(p => p[0] === factor);
	return point ? point[1] : null;
}

function showHot(doc) {
	const hot = doc.hot;
	const why = !hot ? 'Not shown: ' + doc.withheld + '.' : hot.sampled === 0 ? 'Not looked for: hot keys are off (--hot-keys).' :
		'No data yet: no request has been sampled.';
	const rows = (keys, of, unit, print) => {
		const shown = keys.slice(0, 10);
		const most = Math.max(...shown.map(k => k[unit]));
		return shown.map(k => [{text: k.key, as: 'key'}, {bar: most ? k[unit] / most : 0}, percent(of ? k[unit] / of : null), print(hot.seconds ? k[unit] / hot.seconds : null)]);
	};
	const note = hot && 'One request in ' + count(hot.sampled) + ' is looked at; over ' + span(Math.round(hot.seconds)) + '. First is who has most for certain.';
	tell('hot', hot ? rows(hot.byRequests, hot.requests, 'requests', rate) : [], why, note);
	tell('heavy', hot ? rows(hot.byBytes, hot.bytes, 'bytes', bytes) : [], why, note);
}

const refusals = [
	['sets larger than -I', 'tooLarge'],
	['sets without room for them', 'noMemory'],
	['connections beyond -c', 'rejected'],
	['passwords', 'authErrors'],
	['handshakes and records of TLS', 'tlsErrors'],
	['closed: idle', 'idle'],
	['closed: stood still, memory was needed', 'dropped'],
	['closed: a mistake of the server', 'panics'],
	['replies that slow readers waited for', 'slowReads'],
	['lines of the log lost', 'logDropped'],
];

function showTables(doc) {
	fill($('refused-t'), refusals.map(([name, key]) => [{text: name, as: 'text'}, log.length ? count(sum(key, 60)) : '–', count(doc.total[key])]));
	const warnings = doc.warnings.slice(-8).reverse();
	tell('warnings', warnings.map(w => [when(w.time), {text: w.text, as: 'text'}]), 'None.');
	text($('conns-n'), 'At most ' + count(doc.clients.max) + ' (-c); ' + count(doc.total.accepted) + ' since the start of the server' +
		(doc.clients.watchers ? '; ' + plural(doc.clients.watchers, 'watches', 'watch') : '') +
		(doc.clients.paused ? '; accepting rests at present' : '') + '.');
	const ended = doc.store.ended;
	text($('memory-n'), 'Resident, as the system counts: ' + bytes(doc.memory.resident) + '. Limit of items and index (-m): ' + bytes(doc.store.limit) +
		'. ' + plural(doc.store.items, 'item', 'items') + (ended ? '; ' + bytes(ended) + ' have expired and wait to be taken back' : '') +
		(doc.store.prefixing ? '; ' + plural(doc.store.prefixing, 'flush_prefix is', 'flush_prefix are') + ' being carried out' : '') + '.');
	text($('ratio-n'), doc.total.hits + doc.total.misses === 0 ? 'No data yet: no get since the start of the server.' :
		'Since the start of the server: ' + percent(part(doc.total.hits, doc.total.misses)) + ' of ' + plural(doc.total.hits + doc.total.misses, 'get', 'gets') + '.');
	fill($('latency-t'), kinds.filter(k => k !== 'other' || latencyOf(doc, k).n).map(k => {
		const l = latencyOf(doc, k);
		return [kindNames[k] || k, micros(l.p50), micros(l.p99), micros(l.p999), count(l.n || 0)];
	}));
}

// ---- state

// Each of these is [class, verdict, sentence]: what is to be known at a glance, and the number behind it.

function healthy(doc) {
	const minute = name => sum(name, 60);
	const over = span(Math.max(1, Math.round(Math.min(60, covered(60)))));
	const bad = [], warn = [];
	const happened = (list, name, one, many, why) => {
		const n = minute(name);
		if (n > 0) {
			list.push(plural(n, one, many) + why);
		}
	};
	happened(bad, 'panics', 'connection', 'connections', ' closed by a mistake of the server: see its log');
	happened(bad, 'rejected', 'connection', 'connections', ' refused: all ' + count(doc.clients.max) + ' of -c were taken');
	happened(bad, 'noMemory', 'set', 'sets', ' refused: no room' + (doc.store.mayEvict ? '' : ', and -M forbids to evict'));
	happened(warn, 'dropped', 'connection', 'connections', ' closed that stood still: what they held was needed');
	happened(warn, 'tooLarge', 'set', 'sets', ' refused as larger than -I');
	happened(warn, 'authErrors', 'password', 'passwords', ' refused');
	happened(warn, 'tlsErrors', 'connection', 'connections', ' failed in TLS');
	happened(warn, 'logDropped', 'line', 'lines', ' of the log lost');
	if (doc.clients.current >= 0.9 * doc.clients.max) {
		warn.push('of ' + count(doc.clients.max) + ' connections (-c) ' + count(doc.clients.current) + ' are open');
	}
	if (doc.clients.paused) {
		bad.push('nobody is let in at present');
	}
	if (doc.draining) {
		warn.push('the server is about to end');
	}
	const asked = covered(recent) > 0 ?
		['get', 'set', 'delete', 'count', 'touch'].reduce((n, name) => n + perSecond(name, recent), 0) : null;
	const l = latencyOf(doc, 'get');
	const cpu = perSecond('cpu', recent);
	const clients = plural(doc.clients.current, 'connection', 'connections') +
		(doc.clients.behind ? ', ' + count(doc.clients.behind) + ' of them with replies that they do not read' : '');
	const work = asked === null ? clients + '; how much is asked is known in a second.' :
		(asked === 0 ? 'nobody asks anything at present, ' + clients : rate(asked) + ' requests a second on ' + clients) +
		(asked > 0 && l.p99 ? ', 99' + nbsp + '% of gets within ' + micros(l.p99) : '') +
		', ' + grouped[2].format(cpu / 1e6) + ' processors busy.';
	if (lostSince !== null) {
		return ['bad', 'Not known', 'not connected since ' + when(lostSince) + '. Before: ' + work];
	}
	if (bad.length || warn.length) {
		return [bad.length ? 'bad' : 'warn', bad.length ? 'No' : 'Mostly', 'in the last ' + over + ' ' + bad.concat(warn).join('; ') + '. Else ' + work];
	}
	return ['good', 'Yes', work];
}

function full(doc) {
	const {limit, live, dead, index} = doc.store;
	const used = Math.min(doc.memory.items || live + dead + index, live + dead + index);
	const of = bytes(used) + ' of ' + bytes(limit);
	const evicted = perSecond('evicted', recent);
	const inMinute = sum('evicted', 60);
	if (inMinute > 0) {
		const age = sum('evictedIdle', 60) / inMinute;
		return ['', 'Full', of + ', evicting ' + (evicted >= 0.05 ? plural(Math.round(evicted * 10) / 10, 'item', 'items') + ' a second' : 'now and then') +
			'; they had not been used for ' + (age < 1 ? 'less than ' + span(1) : span(age)) + '.'];
	}
	if (used >= 0.95 * limit) {
		const watched = Math.round(Math.min(60, covered(60)));
		return doc.store.mayEvict ? ['', 'Full', of + (watched > 0 ? ', and nothing had to be evicted in the last ' + span(watched) + '.' :
			doc.total.evicted ? '; ' + plural(doc.total.evicted, 'item was', 'items were') + ' evicted since the start.' : '. Nothing has been evicted.')] :
			['warn', 'Full', of + '; -M forbids to evict: sets are refused that find no room.'];
	}
	return ['', 'No', of + ', ' + plural(doc.store.items, 'item', 'items') + '.' +
		(doc.total.evicted ? ' ' + plural(doc.total.evicted, 'item was', 'items were') + ' evicted since the start.' : ' Nothing has been evicted.')];
}

function hottest(doc) {
	if (!doc.hot) {
		return ['', 'Not shown', doc.withheld + '.'];
	}
	if (doc.hot.sampled === 0) {
		return ['', 'Not known', 'hot keys are not looked for (--hot-keys).'];
	}
	const first = doc.hot.byRequests[0];
	if (!first || !doc.hot.requests) {
		return ['', 'Not known yet', 'no request has been sampled.'];
	}
	const share = first.requests / doc.hot.requests;
	const key = first.key.length > 48 ? first.key.slice(0, 47) + '…' : first.key;
	const takes = ' takes ' + percent(share) + ' of requests' + (doc.hot.seconds ? ', ' + rate(first.requests / doc.hot.seconds) + ' a second.' : '.');
	return share < 0.01 ? ['', 'No key', 'stands out: the hottest, ' + key + ',' + takes] : [share > 0.25 ? 'warn' : '', key, takes.trim()];
}

function more(doc) {
	const c = doc.curve;
	const now = c && at(c, 1);
	if (!doc.store.mayEvict) { // there is no curve: nothing is lost, but refused
		const n = sum('noMemory', 60);
		return n > 0 ? ['', 'Yes', plural(n, 'set', 'sets') + ' found no room in the last minute, and -M forbids to evict.'] :
			['', 'No', 'no set was refused for want of room in the last minute, and -M forbids to evict.'];
	}
	if (!c && noSample(doc)) {
		return ['', 'Not known', 'nobody looks (--no-curve).'];
	}
	if (!c || now === null) {
		return ['', 'Not known yet', 'too few gets of sampled keys have been seen.'];
	}
	// The curve is of what was asked, first gets included, and its gets count half after an hour.
	const then = doc.uptime < 7200 ? ' since the start' : ' over the last hours';
	const would = factor => factor + ' × -m (' + bytes(factor * doc.store.limit) + ') would have raised hits from ' + percent(now) + ' to ' +
		percent(at(c, factor)) + then + '.';
	for (const factor of [2, 4]) {
		if (at(c, factor) !== null && at(c, factor) - now >= 0.01) {
			return ['', factor === 2 ? 'Yes' : 'Some', would(factor)];
		}
	}
	const half = at(c, 0.5);
	const most = c.points[c.points.length - 1];
	return ['', 'No', 'with ' + most[0] + ' × -m hits would have been ' + percent(most[1]) + then + ', and were ' + percent(now) + '.' +
		(half !== null && now - half < 0.01 ? ' Half of it would have done: ' + percent(half) + '.' : '')];
}

// verdicts are those that were told last: who cannot see is told when one changes.
const verdicts = {};

function showState(doc) {
	for (const [id, f] of Object.entries({healthy, full, hottest, more})) {
		const [as, verdict, sentence] = f(doc);
		const box = $(id), dd = box.lastElementChild;
		if (box.className !== as) {
			box.className = as;
		}
		if (dd.childElementCount === 0) {
			text(dd, '');
			dd.append(element('b'), document.createTextNode(''));
		}
		text(dd.firstChild, verdict);
		const colon = id === 'hottest' && (doc.hot && doc.hot.sampled && doc.hot.byRequests.length) ? ' ' : ': ';
		if (dd.lastChild.data !== colon + sentence) {
			dd.lastChild.data = colon + sentence;
		}
		if (id !== 'hottest' && lostSince === null && verdicts[id] && verdicts[id] !== verdict) {
			text($('said'), box.firstElementChild.textContent + ' ' + verdict + '.');
		}
		verdicts[id] = verdict;
	}
}

// ---- stream

let paused = false;
let stream = null;
let heard = Date.now();  // when the last event came, or the page began to wait
let tried = Date.now();  // when the stream was opened last
let lostSince = null;    // when the last event had come, of a stream that was lost; null: it is there
let why = '';

function render() {
	if (!last || paused || document.hidden) {
		return;
	}
	showState(last);
	timed.forEach(c => c.draw());
	latency.draw();
	showCurve(last);
	showHot(last);
	showHistograms(last);
	showTables(last);
	text($('about'), last.version + ', up ' + span(last.uptime) + ', process ' + last.pid);
}

function take(doc) {
	const now = doc.time / 1000;
	const before = log.length ? log[log.length - 1].time : null;
	if (before !== null && now < before) { // a clock was set back: nothing fits any more
		log = [];
		past = [];
		timed.concat(latency).forEach(c => c.again());
	} else if (before !== null && (doc.over === 0 || (last && doc.uptime < last.uptime))) {
		const gap = Math.min(before + 1, (before + now) / 2);
		timed.concat(latency).forEach(c => c.push(gap, null));
		past.push([gap, null]);
	}
	last = doc;
	log.push({time: now, over: doc.over, since: doc.since});
	past.push([now, doc.latency]);
	while (log[0].time < now - kept) {
		log.shift();
	}
	while (past[0][0] < now - kept) {
		past.shift();
	}
	timed.concat(latency).forEach(c => c.push(now, doc));
}

function showLink() {
	const link = $('link');
	link.className = lostSince === null ? '' : 'lost';
	document.documentElement.classList.toggle('stale', lostSince !== null);
	text(link, lostSince === null ? (last ? (paused ? 'Paused at ' : 'Live, ') + clock(last.time) : 'Connecting …') :
		(last ? 'Not connected since ' + when(lostSince) : 'Not connected') + (why ? ': ' + why : ''));
}

function lost(reason) {
	why = reason;
	if (lostSince === null) {
		lostSince = heard;
		text($('said'), 'Not connected.');
		showLink();
		repaint();
		if (last) {
			showState(last);
		}
	}
	showLink();
}

function connect() {
	tried = Date.now();
	stream = new EventSource('events');
	stream.onmessage = e => {
		heard = Date.now();
		take(JSON.parse(e.data));
		if (lostSince !== null) {
			lostSince = null;
			why = '';
			text($('said'), 'Connected again.');
			showLink();
			repaint();
		}
		if (!paused) {
			showLink();
		}
		render();
	};
	stream.onerror = () => {
		const refused = stream.readyState === EventSource.CLOSED;
		lost(refused ? why : '');
		if (refused) {
			askWhy();
		}
	};
}

// askWhy finds out what the server answers, which an EventSource does not tell.
async function askWhy() {
	const end = new AbortController();
	try {
		const reply = await fetch('events', {signal: end.signal});
		if (!reply.ok && lostSince !== null) {
			lost((await reply.text()).trim());
		}
	} catch { // there is no answer
		if (lostSince !== null) {
			lost('');
		}
	}
	end.abort();
}

setInterval(() => {
	const now = Date.now();
	if (now - heard > 1000 * patience) {
		lost(why);
	}
	// A browser that was told to go away does not come back by itself, and one whose computer has
	// slept does not notice that nothing comes.
	const closed = stream.readyState === EventSource.CLOSED;
	if (closed ? now - tried > 2000 : now - Math.max(heard, tried) > 2000 * patience) {
		stream.close();
		connect();
	}
}, 1000);

$('pause').addEventListener('click', () => {
	paused = !paused;
	$('pause').setAttribute('aria-pressed', paused);
	showLink();
	render();
});
document.addEventListener('visibilitychange', render);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);

text($('host'), location.host);
document.title = 'gomemd ' + location.host;
connect();

})();
