package config

import "time"

// Upstream is one remote broker.
type Upstream struct {
	Name string `toml:"name"`
	// Servers are tried in turn, the first preferred; there is at least one.
	Servers []Server `toml:"servers"`
	// Profile names the kind of broker. What it cannot take is in Ceilings.
	Profile Profile `toml:"profile"`
	// ClientID is empty when the file does not say: the gateway's id, "-" and the upstream's name are meant.
	ClientID string `toml:"client_id"`
	Username string `toml:"username"`
	Password Secret `toml:"password"`
	// Token makes user name and password anew for each connection. Its Kind is 0 when there is none.
	Token Token `toml:"token"`
	TLS   TLS   `toml:"tls"`
	// Proxy is gone through to every server; its zero value is none.
	Proxy         Proxy         `toml:"proxy"`
	ProxyPassword Secret        `toml:"proxy_password"`
	KeepAlive     time.Duration `toml:"keepalive"` // whole seconds, 1 to 65535
	// RetryPrimary is how often the first server is looked at while another one is in use; 0: never.
	RetryPrimary time.Duration `toml:"retry_primary"`
	// Spread is the longest random wait before the first connection, and before the first after a calm one was lost; at least 10 s are used for
	// the latter.
	Spread time.Duration `toml:"spread"`
	// MaxInflight bounds the messages sent and not yet acknowledged. The profile's ceiling already flowed into the default.
	MaxInflight int `toml:"max_inflight"`
	// Rate bounds what is sent. The profile's ceilings already flowed into the defaults.
	Rate  Rate  `toml:"rate"`
	Start Start `toml:"start"`
	Lazy  Lazy  `toml:"lazy"`
	// InboundSession says whether the server keeps what comes in while the gateway is away.
	InboundSession InboundSession `toml:"inbound_session"`
	// LiveShare is how many of a hundred messages are live ones while there is a backlog, in routes with OrderLiveFirst.
	LiveShare int `toml:"live_share"`
	// StatusInterval is how often the gateway's status is sent; 0: never.
	StatusInterval time.Duration `toml:"status_interval"`
	// Queue bounds what waits for this upstream.
	Queue  Queue   `toml:"queue"`
	Routes []Route `toml:"route"`

	// Ceilings are those of Profile.
	Ceilings Ceilings `toml:"-"`
}

// Token says how user name and password are signed. Which fields there are depends on Kind.
type Token struct {
	Kind TokenKind `toml:"kind"`
	// Key is the shared secret of the kinds that sign with one: in base64 for TokenAzureSAS and TokenTencent, as it is for the others.
	Key Secret `toml:"key"`
	// KeyFile is the private key of TokenJWT, in PEM (RSA or P-256).
	KeyFile string `toml:"key_file"`
	// Lifetime is how long a token is good for. The connection is renewed before it ends.
	Lifetime time.Duration `toml:"lifetime"`
	// Audience, Issuer and Subject are claims of a JWT (RFC 7519, 4.1); the latter two are left out when empty.
	Audience string `toml:"audience"`
	Issuer   string `toml:"issuer"`
	Subject  string `toml:"subject"`
	// Resource is what a SAS token opens; empty: "<hub>/devices/<device>".
	Resource string `toml:"resource"`
	// Policy is the name of the shared access policy whose key is Key; empty when it is the device's own.
	Policy string `toml:"policy"`
	// Hub is the host name of the IoT hub; empty: the host of the first server.
	Hub string `toml:"hub"`
	// Product is the key or id of the product that the device belongs to.
	Product string `toml:"product"`
	// Device is the device's name or id; of TokenAzureSAS it may be empty for the client id.
	Device string `toml:"device"`
}

// TLS says how a server and this gateway prove who they are.
type TLS struct {
	// CAFile holds the trusted certificates in PEM; empty means those of the system.
	CAFile string `toml:"ca_file"`
	// CertFile and KeyFile are this gateway's own certificate, with those between it and its root behind it, and its key in PEM;
	// both are empty when there is none.
	CertFile string `toml:"cert_file"`
	KeyFile  string `toml:"key_file"`
	// ServerName replaces the host of the server's URL in SNI and in the check of its certificate.
	ServerName string `toml:"server_name"`
	// ALPN are the protocols offered (RFC 7301), in order of preference.
	ALPN       []string   `toml:"alpn"`
	MinVersion TLSVersion `toml:"min_version"`
	// Pins are the public keys of which one must be in the server's chain; empty: any.
	Pins []Pin `toml:"pins"`
}

// Rate bounds what is sent to an upstream.
type Rate struct {
	Messages float64 `toml:"messages"` // per second; 0: no bound
	Bytes    Size    `toml:"bytes"`    // per second; 0: no bound
}

// Lazy says when an upstream with StartLazy connects: as soon as one of the two holds.
type Lazy struct {
	Records int           `toml:"records"` // so many wait
	After   time.Duration `toml:"after"`   // one has waited so long
}

// Queue bounds what waits for one upstream.
type Queue struct {
	// MaxSize bounds each of its queues, in bytes; 0: only the bound that all upstreams share.
	MaxSize Size `toml:"max_size"`
	// MaxAge is how old a record may become; 0: as old as it likes. The buffer's setting already flowed in.
	MaxAge time.Duration `toml:"max_age"`
	// MaxRecords bounds the records in each queue; 0: no bound.
	MaxRecords int `toml:"max_records"`
	// OnFull is what a full queue does. The buffer's setting already flowed in.
	OnFull OnFull `toml:"on_full"`
}

// Route says which topics go which way. Its two full filters are the prefixes with Filter behind them, and a
// message keeps what follows the prefix.
type Route struct {
	Direction Direction `toml:"direction"`
	Filter    string    `toml:"filter"`
	// LocalPrefix and RemotePrefix are empty or end with "/".
	LocalPrefix  string `toml:"local_prefix"`
	RemotePrefix string `toml:"remote_prefix"`
	QoS          int    `toml:"qos"` // 0 or 1: of publishing for out, of the subscription for in
	Retain       Retain `toml:"retain"`
	// Priority, Order, Payload and Batch are of what goes out.
	Priority Priority `toml:"priority"`
	Order    Order    `toml:"order"`
	Payload  Payload  `toml:"payload"`
	Batch    Batch    `toml:"batch"`
}

// Batch bounds a message that holds many records, of a route with PayloadBatch. Whatever is reached first ends it.
type Batch struct {
	// Topic is on the upstream's side; empty: the gateway's gateway/batch, mapped by the route's prefixes.
	Topic      string        `toml:"topic"`
	MaxRecords int           `toml:"max_records"`
	MaxBytes   Size          `toml:"max_bytes"`
	Linger     time.Duration `toml:"linger"` // since the first record
}
