// Package gomemd is the root of a memcached-compatible server. The program is cmd/gomemd; to run a server inside another
// program or a test, use package server.
package gomemd
