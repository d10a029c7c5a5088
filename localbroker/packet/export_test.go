package packet

// Clauses returns every statement that an error of this package can name.
func Clauses() []string {
	var all []string
	for _, r := range rules {
		all = append(all, r.v3, r.v5)
	}
	all = append(all, flagClauses[:]...)
	return append(all, reasonClauses[:]...)
}

// DecodeVarint and AppendVarint are exported to the tests.
var (
	DecodeVarint = decodeVarint
	AppendVarint = appendVarint
	VarintSize   = varintSize
)
