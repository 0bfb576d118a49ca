// Nothing: a package with an assembly file may declare functions without a body, which loop.go links
// to gnet's.
