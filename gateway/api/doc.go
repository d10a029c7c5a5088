// Package api is the gateway's HTTP side: health for supervisors and metrics for Prometheus on TCP ([Server]), and on a unix socket what
// the command line asks a running gateway ([ControlServer], with [Client] as its other end). It is given functions that take snapshots and
// a [Buffer], and knows no component. It is the only package that knows Prometheus.
package api
