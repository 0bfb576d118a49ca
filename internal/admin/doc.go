// Package admin is the HTTP listener for whoever runs the server: metrics for Prometheus, what
// orchestrators ask, hot keys, profiles, and a page that shows it live. It only tells; nothing can be changed by it. It knows the
// server by what a [Source] tells, and no part of it runs unless somebody asks.
//
//	admin.go     Listen, Serve, Drain, Close     the listener, and in which state the server is
//	guard.go     guard, mayHaveKeys              who is answered, and who is told keys
//	health.go    /healthz, /readyz               for orchestrators; Healthcheck asks it
//	hotkeys.go   /hotkeys                        JSON
//	metrics.go   /metrics                        a snapshot, translated by two tables:
//	memcached.go memcachedFamilies               what Prometheus' exporter for memcached tells
//	own.go       ownFamilies                     what memcached has no name for
//	process.go   collectProcess                what the system tells of the process
//	histogram.go powers, times                   counts of classes → Prometheus' two forms
//	live.go      /events                         what the live page reads, once a second
//	page.go      / and its files                 the live page: page/index.html, page.css, page.js
//
// # States
//
//	             /healthz   /readyz   /metrics
//	starting     200        503       memcached_up 0: a memory file may be read for minutes
//	serving      200        200       everything
//	draining     200        503       everything
//
// # Who is answered
//
// There is no password: the listener is on loopback unless told otherwise, and then the network
// decides who reaches it. A browser on the same machine reaches it for any page that it shows, so a
// request is answered only when it was meant for us (guard.go).
package admin
