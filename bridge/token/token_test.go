package token_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/bridge/token"
)

// deviceKey is base64 of "the device key of plant 7, 32 B".
const deviceKey = "dGhlIGRldmljZSBrZXkgb2YgcGxhbnQgNywgMzIgQg=="

// at is the time at which the tests sign: an hour before the end that the vectors were computed for, and a half second.
var at = time.Unix(1735689600-3600, 500_000_000)

func clockAt(t time.Time) token.Clock {
	return token.Clock{Now: func() time.Time { return t }, Synchronised: func() bool { return true }}
}

func secret(text string) token.Secret { return func() (string, error) { return text, nil } }

// TestVectors holds each scheme against sums that openssl computed from the text that the cloud's documentation says is signed, such as:
//
//	printf 'plant.azure-devices.net%%2Fdevices%%2Fgw7\n1735689600' | openssl dgst -sha256 -mac HMAC -macopt hexkey:$KEY -binary | base64
func TestVectors(t *testing.T) {
	ends := time.Unix(1735689600, 0)
	for name, tt := range map[string]struct {
		options interface {
			Source() (token.Source, error)
		}
		want token.Credentials
	}{
		"azure iot hub": {
			token.AzureIoTHub{Hub: "plant.azure-devices.net", DeviceID: "gw7", Key: secret(deviceKey + "\n"), Clock: clockAt(at)},
			token.Credentials{
				ClientID: "gw7", Username: "plant.azure-devices.net/gw7/?api-version=2021-04-12", Expires: ends,
				Password: "SharedAccessSignature sr=plant.azure-devices.net%2Fdevices%2Fgw7" +
					"&sig=mzvzpq1RaXpJei9KQqjRJMCNSgyl7Ji1VllxoDXERo0%3D&se=1735689600",
			},
		},
		"azure, of a policy": {
			token.AzureSAS{
				Resource: "plant.servicebus.windows.net/gw 7", KeyName: "send", Username: "u",
				Key: secret(deviceKey), Lifetime: 2 * time.Hour, Clock: clockAt(at.Add(-time.Hour)),
			},
			token.Credentials{
				Username: "u", Expires: ends,
				Password: "SharedAccessSignature sr=plant.servicebus.windows.net%2Fgw+7" +
					"&sig=wATzgKHjZUxjwp4daITs42XX4wIQJ3K9vCSkUgVsJ%2FI%3D&se=1735689600&skn=send",
			},
		},
		"aliyun iot": {
			token.AliyunIoT{
				ProductKey: "a14Xib5kdYd", DeviceName: "light1983432", ClientID: "SN1928339", TLS: true,
				Secret: secret("oLyaKqVxtRvjH284LdhqVgVUx1UPy6zq"),
			},
			token.Credentials{
				ClientID: "SN1928339|securemode=2,signmethod=hmacsha256|", Username: "light1983432&a14Xib5kdYd",
				Password: "6a4465f2572015ac417370cade599f4ff6dc7f7f966c4e7d97d17281b680a82a",
			},
		},
		"huawei": { // the hour of the example in its documentation
			token.Huawei{
				DeviceID: "D39564861q3gDa", Secret: secret("dsecret-of-gw7"), CheckTime: true,
				Clock: clockAt(time.Date(2018, 7, 25, 1, 56, 20, 0, time.FixedZone("Shanghai", 8*3600))),
			},
			token.Credentials{
				ClientID: "D39564861q3gDa_0_1_2018072417", Username: "D39564861q3gDa",
				Password: "ccd29e22fe9fb42ef2c49b1a6703fff01ae4eb919b22b18d8411d078fbfefb66",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := tt.options.Source()
			if err != nil {
				t.Fatal(err)
			}
			got, err := source(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNothingIsSignedBeforeTheClockIsSet is about the schemes that carry a time.
func TestNothingIsSignedBeforeTheClockIsSet(t *testing.T) {
	unset := token.Clock{Now: time.Now, Synchronised: func() bool { return false }}
	for name, options := range map[string]interface {
		Source() (token.Source, error)
	}{
		"azure":   token.AzureIoTHub{Hub: "h", DeviceID: "d", Key: secret(deviceKey), Clock: unset},
		"jwt":     token.JWT{Audience: "a", Key: secret("x"), Clock: unset},
		"huawei":  token.Huawei{DeviceID: "d", Secret: secret("s"), CheckTime: true, Clock: unset},
		"tencent": token.Tencent{ProductID: "p", DeviceName: "d", Secret: secret(deviceKey), Clock: unset},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := options.Source()
			if err != nil {
				t.Fatal(err)
			}
			if c, err := source(t.Context()); !errors.Is(err, token.ErrClock) || c != (token.Credentials{}) {
				t.Errorf("got %+v, %v", c, err)
			}
		})
	}
	source, err := token.Huawei{DeviceID: "d", Secret: secret("s")}.Source()
	if err != nil {
		t.Fatal(err)
	}
	if c, err := source(t.Context()); err != nil || c.ClientID != "d_0_0_2018072417" {
		t.Errorf("without the check of time: %+v, %v", c, err)
	}
}

func TestOptionErrors(t *testing.T) {
	for want, options := range map[string]interface {
		Source() (token.Source, error)
	}{
		"azure-sas: device id is missing":                         token.AzureIoTHub{Hub: "h"},
		"azure-sas: resource is missing":                          token.AzureSAS{Username: "u"},
		"jwt: audience is missing":                                token.JWT{},
		"jwt: token lifetime 25h0m0s is outside 1m to 24h0m0s":    token.JWT{Audience: "a", Lifetime: 25 * time.Hour},
		"tencent: token lifetime 1s is outside 1m to 720h0m0s":    token.Tencent{ProductID: "p", DeviceName: "d", Lifetime: time.Second},
		"aliyun: product key is missing":                          token.AliyunIoT{DeviceName: "d"},
		"huawei: device id is missing":                            token.Huawei{},
		"tencent: device name is missing":                         token.Tencent{ProductID: "p"},
		"azure-sas: token lifetime 1s is outside 1m to 8760h0m0s": token.AzureIoTHub{Hub: "h", DeviceID: "d", Lifetime: time.Second},
	} {
		t.Run(want, func(t *testing.T) {
			if _, err := options.Source(); err == nil || err.Error() != want {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestKeyErrors shows that an error never contains the key.
func TestKeyErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		key  token.Secret
		want string
	}{
		"cannot be read": {func() (string, error) { return "", errors.New("no such file") }, "sign azure-sas: read the key to sign with: no such file"},
		"empty":          {secret(" \n"), "it is empty"},
		"not base64":     {secret("hush hush"), "it is not base64"},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := token.AzureIoTHub{Hub: "h", DeviceID: "d", Key: tt.key, Clock: clockAt(at)}.Source()
			if err != nil {
				t.Fatal(err)
			}
			_, err = source(context.Background())
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v", err)
			}
		})
	}
}
