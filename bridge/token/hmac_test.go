package token

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"testing"
	"time"
)

// TestAliyunContent holds what is signed against the example in the documentation, which signs with SHA-1 and with a timestamp behind.
func TestAliyunContent(t *testing.T) {
	o := AliyunIoT{ProductKey: "pk", DeviceName: "device", ClientID: "12345"}
	got := hex.EncodeToString(sign(sha1.New, []byte("secret"), o.content()+"timestamp789"))
	if want := "fafd82a3d602b37fb0fa8b7892f24a477f851a14"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestTencentVector was computed with openssl, as those of TestVectors. Here the name of the connection is fixed.
func TestTencentVector(t *testing.T) {
	key, err := base64.StdEncoding.DecodeString("dGhlIGRldmljZSBrZXkgb2YgcGxhbnQgNywgMzIgQg==")
	if err != nil {
		t.Fatal(err)
	}
	ends := time.Unix(1735689600, 0)
	got := Tencent{ProductID: "ABCDEFGHIJ", DeviceName: "gw7"}.credentials(key, "XY1Z2", ends)
	want := Credentials{
		ClientID: "ABCDEFGHIJgw7", Username: "ABCDEFGHIJgw7;12010126;XY1Z2;1735689600", Expires: ends,
		Password: "eb08d3b146f7edbf12c5466135d154c7bd689cd72bf673b33b0cfd257a93f85c;hmacsha256",
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
