package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// The verbs sub and pub take the flags of mosquitto_sub and mosquitto_pub, two of which the flag library does not know the like of: -h takes
// a host and is not help, and -D takes three or four words.

// mqttVerb makes cmd parse its flags in mosquitto's manner and call run with the words of each -D.
func mqttVerb(cmd *cobra.Command, run func(cmd *cobra.Command, properties [][]string) error) *cobra.Command {
	cmd.Flags().Bool("help", false, "help for "+cmd.Name())
	cmd.Flags().StringArrayP("property", "D", nil, "set a property of MQTT 5: `COMMAND NAME VALUE`, as in -D publish user-property a b")
	cmd.DisableFlagParsing = true
	cmd.DisableFlagsInUseLine = true
	cmd.Args = cobra.ArbitraryArgs // they are not parsed yet
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		properties, err := parseMosquitto(cmd, args)
		if err != nil {
			return usageError{fmt.Errorf("%w\nsee '%s --help'", err, cmd.CommandPath())}
		}
		if help, err := cmd.Flags().GetBool("help"); help || err != nil {
			return errors.Join(err, cmd.Help())
		}
		return run(cmd, properties)
	}
	return cmd
}

func parseMosquitto(cmd *cobra.Command, args []string) (properties [][]string, err error) {
	rest, properties, err := takeProperties(cmd, args)
	if err != nil {
		return nil, err
	}
	if err := cmd.Flags().Parse(rest); err != nil {
		return nil, err
	}
	if words := cmd.Flags().Args(); len(words) > 0 {
		return nil, fmt.Errorf("%q is not a flag, and no flag takes it", words[0])
	}
	return properties, nil
}

// takeProperties takes each -D with its words out of args. It knows which flags take a value, so that "-m -D" is a message.
func takeProperties(cmd *cobra.Command, args []string) (rest []string, properties [][]string, err error) {
	for len(args) > 0 {
		arg := args[0]
		if arg == "--" {
			return append(rest, args...), properties, nil
		}
		if arg == "-D" || arg == "--property" {
			var words []string
			if words, args, err = propertyWords(args[1:]); err != nil {
				return nil, nil, err
			}
			properties = append(properties, words)
			continue
		}
		n := 1
		if wantsNext(cmd, arg) {
			n = 2
		}
		if n > len(args) {
			return nil, nil, valueMissing(arg)
		}
		rest, args = append(rest, args[:n]...), args[n:]
	}
	return rest, properties, nil
}

// propertyWords cuts the words of a -D off args: command, name and value, and for a user property two values.
func propertyWords(args []string) (words, rest []string, err error) {
	n := 3
	if len(args) > 1 && strings.EqualFold(args[1], userProperty) {
		n = 4
	}
	if len(args) < n {
		return nil, nil, errors.New("-D wants a command, a property and its value, as in -D publish content-type text/plain, " +
			"and two values for a user property, as in -D publish user-property a b")
	}
	return args[:n], args[n:], nil
}

// wantsNext tells whether arg is a flag whose value is the next argument.
func wantsNext(cmd *cobra.Command, arg string) bool {
	if name, long := strings.CutPrefix(arg, "--"); long {
		flag := cmd.Flags().Lookup(name)
		return flag != nil && flag.NoOptDefVal == ""
	}
	letters, short := strings.CutPrefix(arg, "-")
	if !short {
		return false
	}
	for i := range letters {
		flag := cmd.Flags().ShorthandLookup(letters[i : i+1])
		if flag == nil {
			return false
		}
		if flag.NoOptDefVal == "" {
			return i == len(letters)-1 // else the rest of arg is the value
		}
	}
	return false
}

func valueMissing(arg string) error {
	if arg == "-h" {
		return errors.New("-h wants a host, as in -h 192.168.1.20; for help there is --help")
	}
	return fmt.Errorf("%s wants a value after it", arg)
}
