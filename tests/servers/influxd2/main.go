// The InfluxDB 2.x server that the tests start: upstream's cmd/influxd, of which they need the server alone.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/influxdata/influxdb/v2"
	"github.com/influxdata/influxdb/v2/cmd/influxd/launcher"
	_ "github.com/influxdata/influxdb/v2/tsdb/engine/tsm1"
	_ "github.com/influxdata/influxdb/v2/tsdb/index/tsi1"
	"github.com/spf13/cobra"
	"github.com/spf13/viper"
)

const module = "github.com/influxdata/influxdb/v2"

func main() {
	version := moduleVersion()
	// /health and the X-Influxdb-Version header say this; the module proxy tells no commit.
	influxdb.SetBuildInfo(version, "none", "")

	root, err := launcher.NewInfluxdCommand(context.Background(), viper.New())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	root.SilenceUsage = true
	root.AddCommand(&cobra.Command{
		Use:   "version",
		Short: "Print the version of the server",
		Run:   func(*cobra.Command, []string) { fmt.Println("InfluxDB", version) },
	})
	if root.Execute() != nil { // cobra has printed the error
		os.Exit(1)
	}
}

// moduleVersion is the version that go.mod asks for, as in "v2.7.12".
func moduleVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				return dependency.Version
			}
		}
	}
	return "dev"
}
