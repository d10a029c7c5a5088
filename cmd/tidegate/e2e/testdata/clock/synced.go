package app

import "os"

// clockSynced answers what the test has written behind the seconds.
func clockSynced() bool {
	page, err := os.ReadFile(os.Getenv("TIDEGATE_TEST_CLOCK"))
	return err == nil && page[8] == 1
}
