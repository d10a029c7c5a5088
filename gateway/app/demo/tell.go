package demo

import (
	"fmt"
	"net"
	"strings"
)

// tour is what is printed when the demo is up. It is no text/template: a program with one keeps every method that it could ever call by name, and
// is a tenth larger.
const tour = `
Tidegate demo

  devices   Modbus TCP on {modbus}: meter (unit 1), tank (unit 2)
            Modbus RTU on {serial}, {line}: drive (unit 1), meter2 (unit 2)
  gateway   MQTT on {plant}, in WebSockets on ws://{websocket}/mqtt{health}
  "cloud"   MQTT on {cloud}, a second gateway that the first one replicates to
  data      {data}

Try in another terminal:

  mosquitto_sub {to_plant} -t '{base}/#' -v            what the gateway reads
  mosquitto_sub {to_cloud} -t '{base}/#' -v           the same, arrived in the cloud

  mosquitto_sub {to_plant} -t '{base}/+/result' -v &     answers to commands
  mosquitto_pub {to_plant} -q 1 -t {base}/tank/valve/set -m true
  mosquitto_pub {to_cloud} -q 1 -t {base}/tank/setpoint/set -m 42.5    set it from the cloud

Ctrl-C ends the demo. The next run finds its data again.

`

// option writes an address as the options of the clients in the tour.
func option(a net.Addr) string {
	host, port, _ := net.SplitHostPort(a.String()) // a bound address always has both
	return "-h " + host + " -p " + port
}

func (d *demo) tell() {
	health := ""
	if a := d.plant.HTTPAddr(); a != nil {
		health = fmt.Sprintf(", health and metrics on http://%s/healthz and /metrics", a)
	}
	plant, cloud := d.plant.BrokerAddrs(), d.cloud.BrokerAddrs()[0]
	words := strings.NewReplacer(
		"{modbus}", d.server.Addr().String(), "{serial}", d.pty.Port(), "{line}", d.line.String(),
		"{plant}", plant[0].String(), "{websocket}", plant[1].String(), "{health}", health, "{cloud}", cloud.String(), "{data}", d.DataDir,
		"{to_plant}", option(plant[0]), "{to_cloud}", option(cloud), "{base}", d.plant.BaseTopic(),
	)
	if _, err := words.WriteString(d.Out, tour); err != nil {
		d.Logger.Warn("print the tour", "error", fmt.Errorf("write: %w", err))
	}
}
