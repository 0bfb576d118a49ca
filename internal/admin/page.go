package admin

import (
	"embed"
	"net/http"
)

// pageFiles are the live page: what a browser is given, as it is.
//
//	index.html  page.css   what there is to see
//	page.js                GET /events → numbers, sentences, charts
//	uplot.js  uplot.css    uPlot 1.6.32, the charts; its licence is uplot-LICENSE
//
//go:embed page
var pageFiles embed.FS

// pagePolicy lets the page load what is here, and nothing from elsewhere; it has no script and no
// style in itself, so that text which got into it by mistake is neither. uPlot styles its elements by
// properties, which the policy allows.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page adds the live page's files to what is served: / is index.html.
func page(mux *http.ServeMux) {
	for path, file := range map[string]string{
		"/{$}": "index.html", "/page.css": "page.css", "/page.js": "page.js", "/icon.svg": "icon.svg",
		"/uplot.js": "uplot.js", "/uplot.css": "uplot.css", "/uplot-LICENSE": "uplot-LICENSE",
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", pagePolicy)
			w.Header().Set("Referrer-Policy", "no-referrer")
			http.ServeFileFS(w, r, pageFiles, "page/"+file)
		})
	}
}
