package client

import "github.com/tidegate/tidegate/localbroker/packet"

// Connack returns the server's answer to CONNECT.
func (c *Client) Connack() packet.Connack { return c.connack }

// Done is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.done }
