// Reads the compose file that it is given, as Docker Compose does, and prints what it comes to, as JSON; or says what is wrong with it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	options, err := cli.NewProjectOptions(os.Args[1:], cli.WithOsEnv, cli.WithDefaultProfiles())
	check(err)
	project, err := options.LoadProject(context.Background())
	check(err)
	said, err := project.MarshalJSON()
	check(err)
	fmt.Println(string(said))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
