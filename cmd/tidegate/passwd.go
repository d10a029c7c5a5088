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
	var argon, remove, batch bool
	cmd := &cobra.Command{
		Use:   "passwd FILE USER | passwd -b FILE USER PASSWORD | passwd -D FILE USER",
		Short: "Add a user to a password file, change a password, or remove a user",
		Long: "Passwd asks for a password and writes its hash to FILE, which is made when it is not there. The format is mosquitto's.\n" +
			"Without a terminal the password is the first line of standard input.\n" +
			"A gateway that runs takes the change over on SIGHUP (systemctl reload tidegate).",
		Args: func(cmd *cobra.Command, args []string) error {
			if batch {
				return cobra.ExactArgs(3)(cmd, args)
			}
			return cobra.ExactArgs(2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if remove {
				return removeUser(cmd.OutOrStdout(), args[0], args[1])
			}
			password, err := givenPassword(cmd, args[2:])
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
	cmd.Flags().BoolVarP(&remove, "delete", "D", false, "remove the user")
	cmd.Flags().BoolVarP(&batch, "batch", "b", false, "take the password from the command line, where others on this machine may see it")
	cmd.MarkFlagsMutuallyExclusive("delete", "batch")
	cmd.MarkFlagsMutuallyExclusive("delete", "argon2id")
	return cmd
}

func removeUser(out io.Writer, file, user string) error {
	if err := auth.RemoveUser(file, user); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s: user %s is removed\n", file, user)
	return err
}

// givenPassword returns the password on the command line, if there is one, or asks for it.
func givenPassword(cmd *cobra.Command, args []string) ([]byte, error) {
	if len(args) == 0 {
		return askPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
	}
	return []byte(args[0]), notEmpty([]byte(args[0]))
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
