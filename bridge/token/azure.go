package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// azureAPI is the version of the IoT Hub protocol that the username asks for.
const azureAPI = "2021-04-12"

// azureLongest is the longest life of a signature that is let pass; the service itself sets no bound.
const azureLongest = 365 * 24 * time.Hour

// AzureIoTHub are the options of a device's shared access signature at Azure IoT Hub.
type AzureIoTHub struct {
	Hub      string        // host name, such as plant.azure-devices.net
	DeviceID string        // which is the client id too
	KeyName  string        // of the policy that the key belongs to; "": the device's own key
	Key      Secret        // the device's primary or secondary key, in base64
	Lifetime time.Duration // 1 h
	Clock    Clock
}

// Source returns the source of the signatures, as "Control access to IoT Hub by using shared access signatures" of the Azure IoT
// Hub documentation has them. The username is from "Communicate with an IoT hub using the MQTT protocol".
func (o AzureIoTHub) Source() (Source, error) {
	if err := required("azure-sas", [2]string{"host name of the hub", o.Hub}, [2]string{"device id", o.DeviceID}); err != nil {
		return nil, err
	}
	return AzureSAS{
		Resource: o.Hub + "/devices/" + o.DeviceID,
		ClientID: o.DeviceID,
		KeyName:  o.KeyName,
		Username: o.Hub + "/" + o.DeviceID + "/?api-version=" + azureAPI,
		Key:      o.Key, Lifetime: o.Lifetime, Clock: o.Clock,
	}.Source()
}

// AzureSAS are the options of a shared access signature for any resource of Azure.
type AzureSAS struct {
	Resource string // that it gives access to, not encoded
	KeyName  string // of the policy that the key belongs to; "": a device's own key
	ClientID string // "": the configured one
	Username string
	Key      Secret        // in base64
	Lifetime time.Duration // 1 h
	Clock    Clock
}

// Source returns the source of the signatures.
func (o AzureSAS) Source() (Source, error) {
	if err := required("azure-sas", [2]string{"resource", o.Resource}, [2]string{"username", o.Username}); err != nil {
		return nil, err
	}
	life, err := lifetime(o.Lifetime, DefaultLifetime, azureLongest)
	if err != nil {
		return nil, fmt.Errorf("azure-sas: %w", err)
	}
	return func(context.Context) (Credentials, error) {
		now, err := o.Clock.now()
		if err != nil {
			return Credentials{}, fmt.Errorf("sign azure-sas: %w", err)
		}
		key, err := o.Key.readBase64()
		if err != nil {
			return Credentials{}, fmt.Errorf("sign azure-sas: %w", err)
		}
		ends := now.Add(life).Truncate(time.Second)
		return Credentials{ClientID: o.ClientID, Username: o.Username, Password: o.signature(key, ends), Expires: ends}, nil
	}, nil
}

// signature signs the encoded resource and the seconds of Unix time at which it ends, with a line feed in between.
func (o AzureSAS) signature(key []byte, ends time.Time) string {
	resource, seconds := url.QueryEscape(o.Resource), strconv.FormatInt(ends.Unix(), 10)
	mac := sign(sha256.New, key, resource+"\n"+seconds)
	s := "SharedAccessSignature sr=" + resource + "&sig=" + url.QueryEscape(base64.StdEncoding.EncodeToString(mac)) + "&se=" + seconds
	if o.KeyName != "" {
		s += "&skn=" + url.QueryEscape(o.KeyName)
	}
	return s
}
