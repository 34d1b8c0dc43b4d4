// stamp prints names that are never given twice.
package main

import (
	"fmt"
	"os"

	"github.com/google/uuid"
	"github.com/pkg/errors"
	"github.com/spf13/pflag"
)

func stamps(count int) ([]string, error) {
	if count < 1 {
		return nil, errors.Errorf("%d is not a number of stamps", count)
	}
	names := make([]string, count)
	for i := range names {
		names[i] = uuid.NewString()
	}
	return names, nil
}

func main() {
	count := pflag.IntP("count", "n", 1, "how many")
	pflag.Parse()
	names, err := stamps(*count)
	if err != nil {
		fmt.Fprintln(os.Stderr, "stamp:", err)
		os.Exit(2)
	}
	for _, name := range names {
		fmt.Println(name)
	}
}
