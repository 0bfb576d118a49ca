//go:build poll_opt

package conn

// With the build tag poll_opt gnet keeps pointers in its epoll instance, where loop.go changes
// registrations as if they held descriptors. So that is refused here, rather than found out there.
var _ int = "gomemd cannot be built with gnet's tag poll_opt"
