package token

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// AliyunIoT are the options of a device at Alibaba Cloud IoT Platform.
type AliyunIoT struct {
	ProductKey, DeviceName string
	Secret                 Secret // the DeviceSecret
	ClientID               string // within it; "": the device's name
	TLS                    bool   // the connection is secured: secure mode 2, else 3
}

// Source returns the source of the passwords, as "Establish MQTT connections over TCP" of the Alibaba Cloud IoT Platform documentation has
// them: the parameters in alphabetical order, signed with HMAC-SHA256. The timestamp is optional there and left out, so that
// no clock is needed; nothing expires.
func (o AliyunIoT) Source() (Source, error) {
	if err := required("aliyun", [2]string{"product key", o.ProductKey}, [2]string{"device name", o.DeviceName}); err != nil {
		return nil, err
	}
	if o.ClientID == "" {
		o.ClientID = o.DeviceName
	}
	mode := "3"
	if o.TLS {
		mode = "2"
	}
	return func(context.Context) (Credentials, error) {
		key, err := o.Secret.read()
		if err != nil {
			return Credentials{}, fmt.Errorf("sign aliyun: %w", err)
		}
		return Credentials{
			ClientID: o.ClientID + "|securemode=" + mode + ",signmethod=hmacsha256|",
			Username: o.DeviceName + "&" + o.ProductKey,
			Password: hex.EncodeToString(sign(sha256.New, []byte(key), o.content())),
		}, nil
	}, nil
}

// content is what is signed.
func (o AliyunIoT) content() string {
	return "clientId" + o.ClientID + "deviceName" + o.DeviceName + "productKey" + o.ProductKey
}

// Huawei are the options of a device at Huawei Cloud IoTDA.
type Huawei struct {
	DeviceID string
	Secret   Secret
	// CheckTime asks the platform to compare the time of the signature with its own, so that a copied password is soon of no use. It needs
	// a synchronised clock, and makes the client id change with the hour.
	CheckTime bool
	Clock     Clock // with CheckTime
}

// The time that is signed with: its form, UTC, and the one that stands there when nobody compares it. That one stays the same,
// so that the client id does, and with it the session.
const (
	huaweiHour  = "2006010215"
	huaweiFixed = "2018072417"
)

// Source returns the source of the passwords, as "Device Connection Authentication" of the Huawei Cloud IoTDA API reference has them: the
// secret signed with HMAC-SHA256, and the hour as key. The platform looks at it in CONNECT only; nothing expires.
func (o Huawei) Source() (Source, error) {
	if err := required("huawei", [2]string{"device id", o.DeviceID}); err != nil {
		return nil, err
	}
	return func(context.Context) (Credentials, error) {
		kind, hour := "0", huaweiFixed
		if o.CheckTime {
			now, err := o.Clock.now()
			if err != nil {
				return Credentials{}, fmt.Errorf("sign huawei: %w", err)
			}
			kind, hour = "1", now.UTC().Format(huaweiHour)
		}
		secret, err := o.Secret.read()
		if err != nil {
			return Credentials{}, fmt.Errorf("sign huawei: %w", err)
		}
		return Credentials{
			ClientID: o.DeviceID + "_0_" + kind + "_" + hour,
			Username: o.DeviceID,
			Password: hex.EncodeToString(sign(sha256.New, []byte(hour), secret)),
		}, nil
	}, nil
}

// tencentSDK is the fixed application id in the username.
const tencentSDK = "12010126"

// Bounds of the life of a signature. The service itself sets none.
const (
	tencentLifetime = 24 * time.Hour
	tencentLongest  = 30 * 24 * time.Hour
)

// Tencent are the options of a device at Tencent Cloud IoT Hub.
type Tencent struct {
	ProductID, DeviceName string
	Secret                Secret        // the device's key, in base64
	Lifetime              time.Duration // 24 h
	Clock                 Clock
}

// Source returns the source of the passwords, as "MQTT-Based Device Connection over TCP" of the Tencent Cloud IoT Hub documentation has them:
// the username, which names the connection and when it ends, signed with HMAC-SHA256.
func (o Tencent) Source() (Source, error) {
	if err := required("tencent", [2]string{"product id", o.ProductID}, [2]string{"device name", o.DeviceName}); err != nil {
		return nil, err
	}
	life, err := lifetime(o.Lifetime, tencentLifetime, tencentLongest)
	if err != nil {
		return nil, fmt.Errorf("tencent: %w", err)
	}
	return func(context.Context) (Credentials, error) {
		now, err := o.Clock.now()
		if err != nil {
			return Credentials{}, fmt.Errorf("sign tencent: %w", err)
		}
		key, err := o.Secret.readBase64()
		if err != nil {
			return Credentials{}, fmt.Errorf("sign tencent: %w", err)
		}
		return o.credentials(key, rand.Text()[:5], now.Add(life).Truncate(time.Second)), nil
	}, nil
}

func (o Tencent) credentials(key []byte, connection string, ends time.Time) Credentials {
	id := o.ProductID + o.DeviceName
	username := id + ";" + tencentSDK + ";" + connection + ";" + strconv.FormatInt(ends.Unix(), 10)
	return Credentials{
		ClientID: id, Username: username, Expires: ends,
		Password: hex.EncodeToString(sign(sha256.New, key, username)) + ";hmacsha256",
	}
}
