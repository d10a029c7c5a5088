package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/gateway"
)

func newDecodeCommand() *cobra.Command {
	var (
		bytes  string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "decode REGISTER...",
		Short: "Print everything that Modbus registers can mean",
		Long: "Decode reads the contents of registers that lie one after the other and prints what they are as each type, in each order\n" +
			"of bytes and words. It does not guess: look for the line that shows what the device's display shows, and write its type and\n" +
			"byte_order into the configuration. Where a type makes no number of the bits, there is a \"-\". Nothing is opened.\n\n" +
			"A register is a number of 16 bits, such as 0x4366, 17254 or -2 (behind --); a list with commas and brackets may be pasted. With\n" +
			"--hex the registers are the bytes of an answer, without its address, function and byte count.",
		Example: "  tidegate decode 0x4366 0x199A\n" +
			"  tidegate decode '[17254, 6554]'\n" +
			"  tidegate decode --hex '43 66 19 9A' --json",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			registers, err := registersOf(args, bytes)
			if err != nil {
				return usageError{err}
			}
			if asJSON {
				return printDecodedJSON(cmd.OutOrStdout(), registers)
			}
			return printDecoded(cmd.OutOrStdout(), registers)
		},
	}
	cmd.Flags().StringVar(&bytes, "hex", "", "the bytes of the registers, two hexadecimal digits each")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, for programs")
	return cmd
}

// registersOf reads registers as numbers or as bytes.
func registersOf(args []string, bytes string) ([]uint16, error) {
	if bytes != "" && len(args) > 0 {
		return nil, errors.New("registers are given twice: leave out --hex, or the numbers")
	}
	registers, err := parseRegisters(args)
	if bytes != "" {
		registers, err = parseBytes(bytes)
	}
	switch {
	case err != nil:
		return nil, err
	case len(registers) == 0:
		return nil, errors.New("no registers: give their contents, as in 'tidegate decode 0x4366 0x199A'")
	case len(registers) > modbus.MaxInterpreted:
		return nil, fmt.Errorf("%d registers: an answer holds at most %d", len(registers), modbus.MaxInterpreted)
	}
	return registers, nil
}

func parseRegisters(args []string) ([]uint16, error) {
	var registers []uint16
	for _, arg := range args {
		for _, word := range strings.FieldsFunc(arg, func(r rune) bool { return strings.ContainsRune(" \t\n,;[]", r) }) {
			n, err := parseRegister(word)
			if err != nil {
				return nil, err
			}
			registers = append(registers, n)
		}
	}
	return registers, nil
}

// parseRegister reads a number of 16 bits. A leading 0 does not make it octal: dumps fill up with zeros.
func parseRegister(word string) (uint16, error) {
	digits, base := word, 10
	if rest, isHex := strings.CutPrefix(strings.ToLower(word), "0x"); isHex {
		digits, base = rest, 16
	}
	n, err := strconv.ParseInt(digits, base, 32)
	if err != nil || n < -0x8000 || n > 0xFFFF {
		return 0, fmt.Errorf("register %.20q: not a number of 16 bits, such as 0x4366 or 17254; bytes are given with --hex", word)
	}
	return uint16(n), nil
}

// parseBytes reads hexadecimal digits, with or without something between the bytes.
func parseBytes(text string) ([]uint16, error) {
	digits := strings.NewReplacer("0x", "", "0X", "", " ", "", "\t", "", "\n", "", ":", "", "-", "", ",", "").Replace(text)
	b, err := hex.DecodeString(digits)
	switch {
	case err != nil:
		return nil, fmt.Errorf("bytes %.60q: not pairs of hexadecimal digits, such as \"43 66 19 9A\"", text)
	case len(b)%2 != 0:
		return nil, fmt.Errorf("%d bytes: a register has two, so one is missing or one too many", len(b))
	}
	registers := make([]uint16, len(b)/2)
	for i := range registers {
		registers[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	return registers, nil
}

// printDecodedJSON prints the interpretations one after the other.
func printDecodedJSON(w io.Writer, registers []uint16) error {
	type reading struct {
		Register int             `json:"register"`
		Count    int             `json:"count"`
		Type     string          `json:"type"`
		Order    string          `json:"byte_order"`
		Value    json.RawMessage `json:"value"`
		Reason   gateway.Reason  `json:"reason,omitempty"`
	}
	out := struct {
		Registers []uint16  `json:"registers"`
		Readings  []reading `json:"readings"`
	}{Registers: registers}
	for _, in := range modbus.Interpret(registers) {
		out.Readings = append(out.Readings, reading{in.Register, in.Count, in.Type.String(), in.Order.String(), in.Value.AppendJSON(nil), in.Reason})
	}
	return printJSON(w, out)
}

// printDecoded prints tables: one for each number of registers that a type takes, with a column for each type, and the texts.
func printDecoded(w io.Writer, registers []uint16) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(out, "register\thex\tbits 15 to 0\n")
	for i, r := range registers {
		fmt.Fprintf(out, "%d\t0x%04X\t%s\n", i, r, nibbles(r))
	}
	list := modbus.Interpret(registers)
	for _, count := range []int{1, 2, 4} {
		printNumbers(out, slices.DeleteFunc(slices.Clone(list), func(in modbus.Interpretation) bool { return in.Count != count || in.Type == modbus.String }))
	}
	fmt.Fprint(out, "\nregisters\tbyte_order\tstring\n")
	for _, in := range list {
		if in.Type == modbus.String {
			fmt.Fprintf(out, "%s\t%v\t%s\n", extent(in), in.Order, strconv.Quote(in.Value.Text()))
		}
	}
	return out.Flush()
}

// printNumbers prints interpretations of as many registers each: a line for each place and order. They come in this order.
func printNumbers(out io.Writer, list []modbus.Interpretation) {
	var line []string
	for i, in := range list {
		if i == 0 {
			fmt.Fprintf(out, "\nregisters\tbyte_order")
			for _, other := range list {
				if other.Register == in.Register && other.Order == in.Order {
					fmt.Fprintf(out, "\t%v", other.Type)
				}
			}
			fmt.Fprintln(out)
		}
		if len(line) == 0 {
			line = []string{extent(in), in.Order.String()}
		}
		value := in.Value.String()
		if in.Value.IsZero() {
			value = "-"
		}
		line = append(line, value)
		if last := i+1 == len(list); last || list[i+1].Register != in.Register || list[i+1].Order != in.Order {
			fmt.Fprintln(out, strings.Join(line, "\t"))
			line = nil
		}
	}
}

// extent names the registers of an interpretation.
func extent(in modbus.Interpretation) string {
	if in.Count == 1 {
		return strconv.Itoa(in.Register)
	}
	return fmt.Sprintf("%d-%d", in.Register, in.Register+in.Count-1)
}

// nibbles writes bits in groups of four.
func nibbles(r uint16) string {
	return fmt.Sprintf("%04b %04b %04b %04b", r>>12, r>>8&0xF, r>>4&0xF, r&0xF)
}
