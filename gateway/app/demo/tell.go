package demo

import (
	"fmt"
	"net"
	"text/template"
)

// tour is what is printed when the demo is up.
var tour = template.Must(template.New("tour").Parse(`
Tidegate demo

  devices   Modbus TCP on {{.Modbus}}: meter (unit 1), tank (unit 2)
            Modbus RTU on {{.Serial}}, {{.Line}}: drive (unit 1), meter2 (unit 2)
  gateway   MQTT on {{.Plant.Addr}}, in WebSockets on ws://{{.WebSocket.Addr}}/mqtt{{if .HTTP}}, health and metrics on http://{{.HTTP}}/healthz and /metrics{{end}}
  "cloud"   MQTT on {{.Cloud.Addr}}, a second gateway that the first one replicates to
  data      {{.Data}}

Try in another terminal:

  mosquitto_sub -h {{.Plant.Host}} -p {{.Plant.Port}} -t '{{.Base}}/#' -v            what the gateway reads
  mosquitto_sub -h {{.Cloud.Host}} -p {{.Cloud.Port}} -t '{{.Base}}/#' -v           the same, arrived in the cloud

  mosquitto_sub -h {{.Plant.Host}} -p {{.Plant.Port}} -t '{{.Base}}/+/result' -v &     answers to commands
  mosquitto_pub -h {{.Plant.Host}} -p {{.Plant.Port}} -q 1 -t {{.Base}}/tank/valve/set -m true
  mosquitto_pub -h {{.Cloud.Host}} -p {{.Cloud.Port}} -q 1 -t {{.Base}}/tank/setpoint/set -m 42.5    set it from the cloud

Ctrl-C ends the demo. The next run finds its data again.

`))

// address is a host and a port, apart and together.
type address struct{ Addr, Host, Port string }

func split(a net.Addr) address {
	host, port, _ := net.SplitHostPort(a.String()) // a bound address always has both
	return address{a.String(), host, port}
}

func (d *demo) tell() {
	http := ""
	if a := d.plant.HTTPAddr(); a != nil {
		http = a.String()
	}
	err := tour.Execute(d.Out, struct {
		Modbus, Serial, Line, HTTP, Data, Base string
		Plant, WebSocket, Cloud                address
	}{
		d.server.Addr().String(), d.pty.Port(), d.line.String(), http, d.DataDir, d.plant.BaseTopic(),
		split(d.plant.BrokerAddrs()[0]), split(d.plant.BrokerAddrs()[1]), split(d.cloud.BrokerAddrs()[0]),
	})
	if err != nil {
		d.Logger.Warn("print the tour", "error", fmt.Errorf("write: %w", err))
	}
}
