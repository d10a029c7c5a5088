package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tidegate/tidegate/gateway/auth"
)

func newPasswdCommand() *cobra.Command {
	var argon bool
	cmd := &cobra.Command{
		Use:   "passwd FILE USER",
		Short: "Add a user to a password file, or change a password",
		Long: "Passwd asks for a password and writes its hash to FILE, which is made when it is not there. The format is mosquitto's.\n" +
			"Without a terminal the password is the first line of standard input.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := askPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			format := auth.PBKDF2
			if argon {
				format = auth.Argon2id
			}
			if err := auth.SetPassword(args[0], args[1], password, format); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: user %s is set\n", args[0], args[1])
			return err
		},
	}
	cmd.Flags().BoolVar(&argon, "argon2id", false, "hash with argon2id, which takes more memory at each login; needs mosquitto 2.1 to be read there")
	return cmd
}

// askPassword reads a password: twice and unseen from a terminal, once from anything else.
func askPassword(in io.Reader, out io.Writer) ([]byte, error) {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return readPassword(in)
	}
	first, err := prompt(f, out, "Password: ")
	if err != nil {
		return nil, err
	}
	again, err := prompt(f, out, "Again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, again) {
		return nil, errors.New("the two passwords differ, nothing was changed")
	}
	return first, notEmpty(first)
}

func prompt(f *os.File, out io.Writer, text string) ([]byte, error) {
	fmt.Fprint(out, text)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(out)
	if err != nil {
		return nil, fmt.Errorf("read password: %w", err)
	}
	return b, nil
}

func readPassword(in io.Reader) ([]byte, error) {
	line, err := bufio.NewReader(in).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read password: %w", err)
	}
	line = bytes.TrimRight(line, "\r\n")
	return line, notEmpty(line)
}

func notEmpty(password []byte) error {
	if len(password) == 0 {
		return usageError{errors.New("the password is empty, nothing was changed")}
	}
	return nil
}
