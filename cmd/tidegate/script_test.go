package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the program callable from the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tidegate": main})
}

// TestScripts runs testdata/script: the command line as a person uses it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
	})
}
