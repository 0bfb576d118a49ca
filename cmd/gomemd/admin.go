package main

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/gomemd/gomemd/internal/admin"
	"github.com/gomemd/gomemd/server"
)

// adminAddr is what --healthcheck asks unless told: the port is that of Prometheus' exporter for
// memcached, whose place the listener takes.
const adminAddr = "127.0.0.1:9150"

// setAdmin refuses what is no address before anything is started.
func setAdmin(c *config, v string) error {
	if _, _, err := net.SplitHostPort(v); err != nil {
		return quit(exUsage, "ERROR: Invalid admin address %s: a host and a port, like %s or 0.0.0.0:9150.", v, adminAddr)
	}
	c.admin.Addr = v
	return nil
}

func setAdminHosts(c *config, v string) error {
	c.admin.Hosts = append(c.admin.Hosts, strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })...)
	return nil
}

// setHealthcheck: noValue is "whatever --admin says".
func setHealthcheck(c *config, v string) error {
	c.healthcheck, c.healthcheckAddr = true, strings.TrimPrefix(v, noValue)
	return nil
}

// listenAdmin opens the listener of --admin; nil when there is none.
func (c *config) listenAdmin() (*admin.Server, error) {
	if c.admin.Addr == "" {
		return nil, nil
	}
	c.admin.Version, c.admin.Log = server.Version, log
	a, err := admin.Listen(c.admin)
	if err != nil {
		return nil, quit(exOSErr, "failed to listen on admin address %s: %s", c.admin.Addr, reasonOf(err))
	}
	if c.opts.Verbosity > 0 {
		warn("admin listener: http://%s/", a.Addr())
	}
	return a, nil
}

// checkWithin bounds a health check: Docker gives it 30 s, Kubernetes one second unless told.
const checkWithin = 3 * time.Second

// checkHealth is --healthcheck [addr]: the whole life of a process that asks another whether it is
// ready, for images that have no program that could.
func (c *config) checkHealth() error {
	addr := c.healthcheckAddr
	if addr == "" {
		addr = c.admin.Addr
	}
	if addr == "" {
		addr = adminAddr
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkWithin)
	defer cancel()
	if err := admin.Healthcheck(ctx, addr); err != nil {
		return quit(exFailure, "%s is not ready: %s", addr, err)
	}
	return nil
}
