package api

import (
	"net/http"
	"os"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Status is what a gateway is doing, as GET /v1/status answers.
type Status struct {
	Version   string           `json:"version"`
	Gateway   string           `json:"gateway"`
	PID       int              `json:"pid"`
	Started   time.Time        `json:"started"`
	Upstreams []UpstreamStatus `json:"upstreams"`
	Buses     []BusStatus      `json:"buses"`
	Clients   int              `json:"clients"`  // MQTT connections of the LAN
	Sessions  int              `json:"sessions"` // that outlive their connection

	ModbusServers []ModbusServerStatus `json:"modbus_servers,omitempty"`
}

// ModbusServerStatus is one server for other masters in a Status.
type ModbusServerStatus struct {
	Name        string `json:"name"`
	Address     string `json:"address"`
	Connections int    `json:"connections"`
	Requests    uint64 `json:"requests"`
	Exceptions  uint64 `json:"exceptions"`
	Refused     uint64 `json:"refused"` // connections: by allow and by the limits
}

// UpstreamStatus is one upstream in a Status.
type UpstreamStatus struct {
	Name       string    `json:"name"`
	Connected  bool      `json:"connected"`
	Server     string    `json:"server,omitempty"`
	Epoch      uint64    `json:"epoch"`
	Sent       uint64    `json:"sent"`
	Acked      uint64    `json:"acked"`
	Inflight   int       `json:"inflight"`
	Waiting    string    `json:"waiting,omitempty"`
	RetryAt    time.Time `json:"retry_at,omitzero"`
	LastError  string    `json:"last_error,omitempty"`
	CertExpiry time.Time `json:"certificate_expiry,omitzero"`
}

// BusStatus is one bus in a Status.
type BusStatus struct {
	Name    string         `json:"name"`
	Open    bool           `json:"open"`
	Devices []DeviceStatus `json:"devices"`
}

// DeviceStatus is one device in a Status.
type DeviceStatus struct {
	Name     string    `json:"name"`
	Online   bool      `json:"online"`
	LastGood time.Time `json:"last_good,omitzero"`
}

func (s *ControlServer) status(w http.ResponseWriter, _ *http.Request) {
	broker := s.opts.Snapshots.Broker()
	st := Status{
		Version: s.opts.Version, Gateway: s.opts.GatewayID, PID: os.Getpid(), Started: s.started.UTC(),
		Upstreams: []UpstreamStatus{}, Buses: []BusStatus{}, Clients: broker.Connections, Sessions: broker.Sessions,
	}
	for _, b := range s.opts.Snapshots.Bridges() {
		st.Upstreams = append(st.Upstreams, upstreamStatus(b))
	}
	for _, b := range s.opts.Snapshots.Buses() {
		bus := BusStatus{Name: b.Name, Open: b.Open, Devices: []DeviceStatus{}}
		for _, d := range b.Devices {
			bus.Devices = append(bus.Devices, DeviceStatus{d.Name, d.Online, d.LastGood})
		}
		st.Buses = append(st.Buses, bus)
	}
	for _, m := range s.opts.Snapshots.modbusServers() {
		st.ModbusServers = append(st.ModbusServers, ModbusServerStatus{m.Name, m.Address, m.Connections, m.Requests, m.Exceptions, m.Denied + m.Refused})
	}
	s.answer(w, http.StatusOK, st)
}

func upstreamStatus(b gateway.BridgeStats) UpstreamStatus {
	return UpstreamStatus{
		Name: b.Name, Connected: b.Connected, Server: b.Server, Epoch: b.Epoch, Sent: b.Sent, Acked: b.Acked, Inflight: b.Inflight,
		Waiting: b.Waiting, RetryAt: b.RetryAt, LastError: b.LastError, CertExpiry: b.CertExpiry,
	}
}
