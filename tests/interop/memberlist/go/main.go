// memberlist-node: a member of a memberlist cluster, set up as MetalLB 0.12 sets up its speakers, for tests.
//
//	memberlist-node -name N -bind 127.0.0.2 [-port P] [-secret S] [-compress=false] [ADDRESS:PORT...]
//
// Joins the given addresses. Says on stdout, a JSON object a line, where it listens, who joins, leaves and changes, and the
// answers to the commands on stdin; memberlist's own log is on stderr. Commands, one a line:
//
//	members           who is alive or suspect
//	join ADDRESS:PORT a join, and how many were reached
//	leave             says farewell (1 s), closes the sockets and ends; so does SIGTERM, or the end of stdin
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

type line struct {
	Event   string   `json:"event"`
	Name    string   `json:"name,omitempty"`
	Address string   `json:"address,omitempty"`
	Names   []string `json:"names,omitempty"`
	Reached int      `json:"reached"`
	Error   string   `json:"error,omitempty"`
}

var stdout sync.Mutex

func say(l line) {
	stdout.Lock()
	defer stdout.Unlock()
	text, err := json.Marshal(l)
	if err != nil {
		die(err)
	}
	fmt.Println(string(text))
}

func die(err error) {
	fmt.Fprintln(os.Stderr, "memberlist-node:", err)
	os.Exit(1)
}

type events struct{}

func (events) NotifyJoin(n *memberlist.Node)   { say(line{Event: "join", Name: n.Name, Address: n.Address()}) }
func (events) NotifyLeave(n *memberlist.Node)  { say(line{Event: "leave", Name: n.Name, Address: n.Address()}) }
func (events) NotifyUpdate(n *memberlist.Node) { say(line{Event: "update", Name: n.Name, Address: n.Address()}) }

func join(list *memberlist.Memberlist, addresses []string) {
	reached, err := list.Join(addresses)
	l := line{Event: "joined", Reached: reached}
	if err != nil {
		l.Error = err.Error()
	}
	say(l)
}

func main() {
	name := flag.String("name", "", "the name of the node")
	bind := flag.String("bind", "127.0.0.1", "the address to listen on")
	port := flag.Int("port", 0, "the port to listen on; 0: any")
	secret := flag.String("secret", "", "METALLB_ML_SECRET_KEY; empty: no encryption")
	compress := flag.Bool("compress", true, "compress what becomes shorter")
	flag.Parse()

	config := memberlist.DefaultLANConfig()
	config.Name = *name
	config.BindAddr = *bind
	config.BindPort = *port
	config.AdvertisePort = *port
	config.EnableCompression = *compress
	config.Events = events{}
	if *secret != "" {
		// Not a hash of the secret, but the secret followed by the hash of nothing.
		config.SecretKey = sha256.New().Sum([]byte(*secret))[:16]
	}
	list, err := memberlist.Create(config)
	if err != nil {
		die(err)
	}
	say(line{Event: "up", Name: *name, Address: list.LocalNode().Address()})
	if flag.NArg() > 0 {
		join(list, flag.Args())
	}

	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	commands := make(chan string)
	go func() {
		defer close(commands)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			commands <- in.Text()
		}
	}()
	for going := true; going; {
		select {
		case <-end:
			going = false
		case command, open := <-commands:
			words := strings.Fields(command)
			switch {
			case !open || command == "leave":
				going = false
			case command == "members":
				l := line{Event: "members"}
				for _, member := range list.Members() {
					l.Names = append(l.Names, member.Name)
				}
				sort.Strings(l.Names)
				say(l)
			case len(words) > 1 && words[0] == "join":
				join(list, words[1:])
			default:
				die(fmt.Errorf("unknown command %q", command))
			}
		}
	}
	l := line{Event: "left"}
	if err := list.Leave(time.Second); err != nil {
		l.Error = err.Error()
	}
	if err := list.Shutdown(); err != nil {
		die(err)
	}
	say(l)
}
