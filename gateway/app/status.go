package app

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/api"
)

// statusInterval is how often the LAN sees a new status. An upstream has its own interval, see status_interval.
const statusInterval = 10 * time.Second

// Status is the JSON of base/gateway/status: how the gateway is, for a person and for a dashboard.
type Status struct {
	Time      time.Time        `json:"time"`
	Version   string           `json:"version"`
	Store     string           `json:"store"`
	Uptime    int64            `json:"uptime_s"`
	Clock     string           `json:"clock"` // "set", or "unset" while nothing keeps it right
	Buffer    StatusBuffer     `json:"buffer"`
	Upstreams []StatusUpstream `json:"upstreams"`
	Buses     []StatusBus      `json:"buses"`
	Clients   int              `json:"clients"` // connected to the local broker

	ModbusServers []StatusModbusServer `json:"modbus_servers,omitempty"`
}

// StatusBuffer is the buffer's part of a status.
type StatusBuffer struct {
	Records   uint64   `json:"records"`     // that upstreams have not acknowledged
	Oldest    int64    `json:"oldest_s"`    // age of the oldest of them
	Bytes     int64    `json:"bytes"`       // of the file
	MaxBytes  int64    `json:"max_bytes"`   // that it may grow to
	HoursLeft *float64 `json:"hours_left"`  // until it is full at the pace of late; null while it does not grow
	Dropped   uint64   `json:"dropped"`     // since the start
	Damaged   uint64   `json:"damaged"`     // since the start
	Dead      uint64   `json:"dead"`        // set aside
	Written   uint64   `json:"written"`     // bytes, over all runs
	CardYears *float64 `json:"card_years"`  // until the card has taken what it is said to take; null when not known
	DiskFree  int64    `json:"disk_free"`   // bytes
	Failing   bool     `json:"failing"`     // it cannot be written
	SetAside  string   `json:"set_aside"`   // the damaged file that was replaced; "" for none
	Salvaging bool     `json:"salvaging"`   // records are being saved from it
	Salvaged  uint64   `json:"salvaged"`    // and so many were
	Pending   int      `json:"not_written"` // records in memory alone
}

// StatusUpstream is one upstream's part of a status.
type StatusUpstream struct {
	Name      string `json:"name"`
	Connected bool   `json:"connected"`
	Epoch     uint64 `json:"epoch"`
	Server    string `json:"server,omitempty"`
	Records   uint64 `json:"records"`
	Inflight  int    `json:"inflight"`
	Waiting   string `json:"waiting,omitempty"`
	LastError string `json:"last_error,omitempty"`
}

// StatusBus is one bus's part of a status.
type StatusBus struct {
	Name     string         `json:"name"`
	Open     bool           `json:"open"`
	Load     float64        `json:"load"` // share of the time since the last status that it was busy
	Online   int            `json:"online"`
	Devices  int            `json:"devices"`
	Wanted   float64        `json:"polls_wanted"`      // a second, of all devices
	Achieved float64        `json:"polls_achieved"`    // likewise
	Missed   uint64         `json:"missed"`            // poll slots that could not be kept, since the start
	Passed   uint64         `json:"passed,omitempty"`  // requests of other masters that had their turn, since the start
	Refused  uint64         `json:"refused,omitempty"` // requests of other masters that were not sent, since the start
	Behind   []StatusDevice `json:"behind,omitempty"`
}

// StatusDevice is a device that answers and is polled less often than its intervals ask for.
type StatusDevice struct {
	Name     string  `json:"name"`
	Wanted   float64 `json:"polls_wanted"` // a second
	Achieved float64 `json:"polls_achieved"`
}

// StatusModbusServer is one server for other masters.
type StatusModbusServer struct {
	Name        string `json:"name"`
	Connections int    `json:"connections"` // open now
	Requests    uint64 `json:"requests"`    // since the start
	Exceptions  uint64 `json:"exceptions"`  // requests answered with one, since the start
	Refused     uint64 `json:"refused"`     // connections, by allow and by the limits, since the start
}

// statusSources are the snapshots that a status is made of.
type statusSources struct {
	version, store string
	buffer         func() gateway.BufferStats
	broker         func() gateway.BrokerStats
	bridges        func() []gateway.BridgeStats
	buses          func() []gateway.BusStats
	modbusServers  func() []gateway.ModbusServerStats // nil: there are none
	clockSet       func() bool
	upstreams      []statusQueues
	endurance      int64 // bytes that the card is said to take; 0: not known
}

// statusQueues are the queues of one upstream.
type statusQueues struct {
	upstream string
	queues   []string
}

// statusMaker makes statuses. Only one goroutine uses it: rates are taken from one to the next.
type statusMaker struct {
	src     statusSources
	began   time.Time
	last    time.Time
	busy    map[string]time.Duration
	filled  int64   // bytes that waited at last
	growth  float64 // bytes a second, smoothed
	started bool
}

func newStatusMaker(src statusSources, now time.Time) *statusMaker {
	return &statusMaker{src: src, began: now, last: now, busy: map[string]time.Duration{}}
}

// make returns the status at now.
func (m *statusMaker) make(now time.Time) Status {
	buffer := m.src.buffer()
	s := Status{
		Time: now.UTC().Truncate(time.Millisecond), Version: m.src.version, Store: m.src.store,
		Uptime: int64(now.Sub(m.began).Seconds()), Clock: "unset", Clients: m.src.broker().Connections,
		Upstreams: []StatusUpstream{}, Buses: []StatusBus{},
	}
	if m.src.clockSet() {
		s.Clock = "set"
	}
	elapsed := now.Sub(m.last).Seconds()
	s.Buffer = m.bufferPart(buffer, now, elapsed)
	for i, b := range m.src.bridges() {
		s.Upstreams = append(s.Upstreams, StatusUpstream{
			Name: b.Name, Connected: b.Connected, Epoch: b.Epoch, Server: b.Server,
			Records: depth(buffer, m.src.upstreams[i].queues), Inflight: b.Inflight, Waiting: b.Waiting, LastError: b.LastError,
		})
	}
	for _, b := range m.src.buses() {
		s.Buses = append(s.Buses, m.busPart(b, elapsed))
	}
	s.ModbusServers = m.modbusServersPart()
	m.last = now
	return s
}

// depth sums up what waits in some queues.
func depth(stats gateway.BufferStats, queues []string) (n uint64) {
	for _, q := range stats.Queues {
		if slices.Contains(queues, q.Name) {
			n += q.Depth
		}
	}
	return n
}

func (m *statusMaker) bufferPart(b gateway.BufferStats, now time.Time, elapsed float64) StatusBuffer {
	s := StatusBuffer{
		Bytes: b.FileBytes, MaxBytes: b.MaxBytes, Dropped: b.Dropped, Damaged: b.Damaged, Dead: b.Dead, Written: b.WearBytes,
		DiskFree: b.DiskFree, Failing: b.Failing, SetAside: b.SetAside, Salvaging: b.Salvaging, Salvaged: b.Salvaged, Pending: b.Pending,
	}
	var waiting int64
	for _, q := range b.Queues {
		if !m.upstreamQueue(q.Name) {
			continue
		}
		s.Records += q.Depth
		waiting += q.Bytes
		if !q.Oldest.IsZero() {
			s.Oldest = max(s.Oldest, int64(now.Sub(q.Oldest).Seconds()))
		}
	}
	s.HoursLeft = m.hoursLeft(waiting, b.MaxBytes, elapsed)
	s.CardYears = cardYears(b, m.src.endurance, now)
	return s
}

func (m *statusMaker) upstreamQueue(name string) bool {
	for _, u := range m.src.upstreams {
		if slices.Contains(u.queues, name) {
			return true
		}
	}
	return false
}

// hoursLeft projects the growth of late onto the room that is left. Smoothing forgets half of what was in about five statuses.
func (m *statusMaker) hoursLeft(waiting, limit int64, elapsed float64) *float64 {
	const fresh = 0.13
	if m.started && elapsed > 0 {
		m.growth += fresh * (float64(waiting-m.filled)/elapsed - m.growth)
	}
	m.filled, m.started = waiting, true
	if m.growth < 1 || waiting == 0 || limit <= 0 {
		return nil
	}
	hours := round(float64(max(0, limit-waiting))/m.growth/3600, 10)
	return &hours
}

// cardYears is how long the card will last.
func cardYears(b gateway.BufferStats, endurance int64, now time.Time) *float64 {
	life, ok := api.CardLife(b, endurance, now)
	if !ok {
		return nil
	}
	const year = 365.25 * 24 * float64(time.Hour)
	years := round(float64(life)/year, 10)
	return &years
}

func (m *statusMaker) busPart(b gateway.BusStats, elapsed float64) StatusBus {
	s := StatusBus{Name: b.Name, Open: b.Open, Devices: len(b.Devices), Missed: b.Missed, Passed: b.Passed, Refused: b.Refused}
	if elapsed > 0 {
		s.Load = round((b.Busy-m.busy[b.Name]).Seconds()/elapsed, 1000)
	}
	m.busy[b.Name] = b.Busy
	for _, d := range b.Devices {
		if d.Online {
			s.Online++
		}
		s.Wanted += d.Wanted
		s.Achieved += d.Achieved
		if d.Behind {
			s.Behind = append(s.Behind, StatusDevice{d.Name, round(d.Wanted, 1000), round(d.Achieved, 1000)})
		}
	}
	s.Wanted, s.Achieved = round(s.Wanted, 1000), round(s.Achieved, 1000)
	return s
}

func (m *statusMaker) modbusServersPart() (list []StatusModbusServer) {
	if m.src.modbusServers == nil {
		return nil
	}
	for _, s := range m.src.modbusServers() {
		list = append(list, StatusModbusServer{s.Name, s.Connections, s.Requests, s.Exceptions, s.Denied + s.Refused})
	}
	return list
}

// round keeps so many parts of one.
func round(f, parts float64) float64 { return float64(int64(f*parts+0.5)) / parts }

// runStatus publishes a status on the LAN, retained, now and at each interval, and keeps the newest for the upstreams.
func (a *App) runStatus(ctx context.Context) error {
	ticker := time.NewTicker(statusInterval)
	defer ticker.Stop()
	m := newStatusMaker(a.statusSources(), time.Now())
	for {
		text, err := json.Marshal(m.make(time.Now()))
		if err != nil {
			return err // a number that JSON cannot hold: cannot happen
		}
		a.status.Store(&text)
		a.broker.Publish(&gateway.Record{
			Time: time.Now(),
			Body: &gateway.Message{Topic: a.topics.Status(), Payload: text, Retain: true},
		}, nil)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// newestStatus is what upstreams are sent; nil before the first.
func (a *App) newestStatus() []byte {
	if p := a.status.Load(); p != nil {
		return *p
	}
	return nil
}

func (a *App) statusSources() statusSources {
	src := statusSources{
		version: a.opts.Version, store: a.store.StoreID(), buffer: a.store.Stats, broker: a.broker.Stats,
		bridges: a.bridgeStats, buses: a.engine.Stats, modbusServers: a.modbusStats, clockSet: clockSynced,
		endurance: int64(a.opts.Config.Buffer.CardEndurance),
	}
	for _, u := range a.opts.Config.Upstreams {
		src.upstreams = append(src.upstreams, statusQueues{u.Name, a.queues[u.Name]})
	}
	return src
}
