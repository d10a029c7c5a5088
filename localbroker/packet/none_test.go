package packet

import (
	"reflect"
	"testing"
)

// No property is forgotten by none: one that it passed over would be left in the next packet.
func TestNonePassesOverNoProperty(t *testing.T) {
	if !new(Properties).none() {
		t.Error("there are properties in nothing")
	}
	for i := range reflect.TypeFor[Properties]().NumField() {
		var p Properties
		f := reflect.ValueOf(&p).Elem().Field(i)
		if f.Kind() == reflect.Struct {
			f.FieldByName("Set").SetBool(true)
		} else {
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		}
		if p.none() {
			t.Errorf("%s is passed over", reflect.TypeFor[Properties]().Field(i).Name)
		}
	}
}
