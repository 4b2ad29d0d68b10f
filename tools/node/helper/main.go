// Command helper is the few small programs that a node under test needs and Debian does not have as
// static ones. Its first argument chooses:
//
//	pause                      the first process of a pod or of the node: waits, and reaps orphans
//	serve ADDRESS TEXT         answers every HTTP request with TEXT
//	fetch URL                  prints what an HTTP server answers; status 1 unless that is a 200
//	forward LISTEN TARGET PID  passes connections on into the network namespace of a process
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const (
	fetchTimeout = 5 * time.Second
	inside       = "forward-inside"
)

type command struct {
	arguments int
	run       func(arguments []string) error
}

func main() {
	commands := map[string]command{
		"pause":   {0, pause},
		"serve":   {2, serve},
		"fetch":   {1, fetch},
		"forward": {3, forward},
		inside:    {2, forwardInside},
	}
	if len(os.Args) < 2 || commands[os.Args[1]].arguments != len(os.Args)-2 || commands[os.Args[1]].run == nil {
		fmt.Fprintln(os.Stderr, "usage: helper pause | serve ADDRESS TEXT | fetch URL | forward LISTEN TARGET PID")
		os.Exit(2)
	}
	if err := commands[os.Args[1]].run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func pause([]string) error {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return nil
		}
		// One signal may stand for several children that have ended.
		for pid, err := 1, error(nil); pid > 0 && err == nil; {
			pid, err = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
	}
	return nil
}

func serve(arguments []string) error {
	return http.ListenAndServe(arguments[0], http.HandlerFunc(
		func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer, arguments[1]) }))
}

func fetch(arguments []string) error {
	client := http.Client{Timeout: fetchTimeout}
	answer, err := client.Get(arguments[0])
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", arguments[0], answer.Status)
	}
	return nil
}

// forward listens where it is, then becomes forwardInside in the other network namespace: a socket
// stays in the namespace that it was made in. Go cannot change namespaces itself, its threads would
// be in several.
func forward(arguments []string) error {
	listener, err := net.Listen("tcp", arguments[0])
	if err != nil {
		return err
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	descriptor, err := syscall.Dup(int(file.Fd())) // without close-on-exec
	if err != nil {
		return err
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return err
	}
	words := []string{nsenter, "--target", arguments[2], "--net", "/proc/self/exe"}
	if words[4], err = os.Executable(); err != nil {
		return err
	}
	words = append(words, inside, strconv.Itoa(descriptor), arguments[1])
	return syscall.Exec(nsenter, words, os.Environ())
}

func forwardInside(arguments []string) error {
	descriptor, err := strconv.Atoi(arguments[0])
	if err != nil {
		return err
	}
	listener, err := net.FileListener(os.NewFile(uintptr(descriptor), "listener"))
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go pass(connection.(*net.TCPConn), arguments[1])
	}
}

func pass(near *net.TCPConn, target string) {
	defer near.Close()
	connection, err := net.Dial("tcp", target)
	if err != nil {
		return // who called sees its connection closed, as by a server that is down
	}
	far := connection.(*net.TCPConn)
	defer far.Close()
	done := make(chan struct{})
	go func() {
		io.Copy(far, near)
		far.CloseWrite()
		close(done)
	}()
	io.Copy(near, far)
	near.CloseWrite()
	<-done
}
