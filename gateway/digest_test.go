package gateway_test

import (
	"testing"

	"github.com/tidegate/tidegate/gateway"
)

func TestLoginDigest(t *testing.T) {
	d := gateway.NewLoginDigester()
	sum := d.Digest("ann", []byte("secret"))
	for name, tt := range map[string]struct {
		other gateway.LoginDigest
		want  bool
	}{
		"the same":                       {d.Digest("ann", []byte("secret")), true},
		"another password":               {d.Digest("ann", []byte("Secret")), false},
		"another user":                   {d.Digest("bob", []byte("secret")), false},
		"a letter moved to the password": {d.Digest("an", []byte("nsecret")), false},
		"a letter moved to the name":     {d.Digest("anns", []byte("ecret")), false},
		"by another key":                 {gateway.NewLoginDigester().Digest("ann", []byte("secret")), false},
		"none":                           {gateway.LoginDigest{}, false},
	} {
		if got := sum.Equal(tt.other); got != tt.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
