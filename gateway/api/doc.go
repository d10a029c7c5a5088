// Package api is the gateway's HTTP side: health for supervisors and metrics for Prometheus. It is given functions that take
// snapshots and knows no component. It is the only package that knows Prometheus.
package api
