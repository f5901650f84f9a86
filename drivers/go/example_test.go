package tega_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	tega "tega.local/tega"
)

func Example() {
	ctx := context.Background()
	c, err := tega.Dial(ctx, "")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Put(ctx, "first.ip", "192.168.1.1"); err != nil {
		log.Fatal(err)
	}
	ip, err := tega.Get[string](ctx, c, "first.ip")
	fmt.Println(ip, err)
	// Output: 192.168.1.1 <nil>
}

func ExampleClient_Put() {
	ctx := context.Background()
	c, _ := tega.Dial(ctx, "")
	defer c.Close()
	type Host struct {
		Name string `json:"name"`
		Port int    `json:"port"`
	}
	path := tega.Join("put", "hosts", "192.168.1.9")
	first, _ := c.Put(ctx, path, Host{"printer", 631}, tega.IfAbsent())
	_, err := c.Put(ctx, path, Host{"scanner", 0}, tega.IfAbsent())
	var refused *tega.Error
	if errors.As(err, &refused) && refused.Code == tega.ErrConflict {
		fmt.Println(refused.Path, "is there already, at version", *refused.Actual)
	}
	host, _ := tega.Get[Host](ctx, c, path)
	fmt.Println(first.Version(), host.Name, host.Port)
	// Output:
	// put.hosts["192.168.1.9"] is there already, at version 0
	// 0 printer 631
}

func ExampleClient_Update() {
	ctx := context.Background()
	c, _ := tega.Dial(ctx, "")
	defer c.Close()
	for i := 0; i < 3; i++ {
		_, err := c.Update(ctx, func(tx *tega.Tx) error {
			count, err := tega.GetOr(ctx, tx, "update.count", 0)
			if err != nil {
				return err
			}
			if err := tx.Put("update.by", "go"); err != nil {
				return err
			}
			return tx.Put("update.count", count+1)
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	root, _ := c.Get(ctx, "update")
	fmt.Println(string(root.Value), "version", root.Version)
	// Output: {"by":"go","count":3} version 2
}

func ExampleClient_Watch() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, _ := tega.Dial(ctx, "")
	defer c.Close()
	alice, _ := tega.Dial(ctx, "", tega.ID("alice"))
	defer alice.Close()
	w, err := c.Watch(ctx, "watched.lan")
	if err != nil {
		log.Fatal(err)
	}
	alice.Put(ctx, "watched.lan.ip", "10.0.0.1")
	alice.Delete(ctx, "watched.lan.ip")
	for change := range w.Changes() {
		fmt.Println(change.Kind, change.Path, string(change.Value), "by", change.By)
		if change.Kind == tega.KindDelete {
			w.Close()
		}
	}
	fmt.Println(w.Err())
	// Output:
	// put watched.lan.ip "10.0.0.1" by alice
	// delete watched.lan.ip "10.0.0.1" by alice
	// <nil>
}

func ExampleClient_Subscribe() {
	ctx := context.Background()
	c, _ := tega.Dial(ctx, "")
	defer c.Close()
	office, _ := tega.Dial(ctx, "", tega.ID("office"))
	defer office.Close()
	alarms, err := c.Subscribe(ctx, "alarm")
	if err != nil {
		log.Fatal(err)
	}
	if err := office.Publish(ctx, "alarm", "rebooted"); err != nil {
		log.Fatal(err)
	}
	message, err := alarms.Next(ctx)
	fmt.Println(message.By, "says", string(message.Value), err)
	// Output: office says "rebooted" <nil>
}

func ExampleClient_Serve() {
	ctx := context.Background()
	router, _ := tega.Dial(ctx, "", tega.ID("r1"))
	defer router.Close()
	_, err := router.Serve(ctx, "served.greet", func(_ context.Context, call *tega.Incoming) (any, error) {
		name := "you"
		if _, err := call.Arg(0, "name", &name); err != nil {
			return nil, err
		}
		if name == "nobody" {
			return nil, errors.New("nobody isn't here")
		}
		return "hello " + name, nil
	}, tega.Signature("name"))
	if err != nil {
		log.Fatal(err)
	}
	c, _ := tega.Dial(ctx, "")
	defer c.Close()
	fmt.Println(tega.Call[string](ctx, c, "served.greet", "alice"))
	fmt.Println(tega.Call[string](ctx, c, "served.greet", tega.Kwargs{"name": "bob"}))
	_, err = c.Call(ctx, "served.greet", "nobody")
	fmt.Println(errors.Is(err, tega.ErrRPCFailed), err)
	// Output:
	// hello alice <nil>
	// hello bob <nil>
	// true tega: nobody isn't here
}

func ExampleClient_Diff() {
	ctx := context.Background()
	c, _ := tega.Dial(ctx, "", tega.ID("alice"))
	defer c.Close()
	c.Put(ctx, "diffed.ip", "192.168.1.1")
	c.Put(ctx, "diffed.ip", "10.0.0.1")
	versions, _ := c.History(ctx, "diffed")
	for _, v := range versions {
		fmt.Println(v.Version, v.By, v.Changes[0].Kind, v.Changes[0].Path)
	}
	differences, _ := c.Diff(ctx, "diffed", 0, tega.Present)
	for _, d := range differences {
		fmt.Printf("%s: %s is %s now\n", d.Path, d.Before, d.After)
	}
	c.Rollback(ctx, "diffed", -1)
	fmt.Println(tega.Get[string](ctx, c, "diffed.ip"))
	// Output:
	// 0 alice put diffed.ip
	// 1 alice put diffed.ip
	// diffed.ip: "192.168.1.1" is "10.0.0.1" now
	// 192.168.1.1 <nil>
}

func ExampleJoin() {
	path := tega.Join("lan", "hosts", "192.168.1.9", "@rule[0]")
	fmt.Println(path)
	keys, err := path.Keys()
	fmt.Printf("%q %v\n", keys, err)
	// Output:
	// lan.hosts["192.168.1.9"].@rule[0]
	// ["lan" "hosts" "192.168.1.9" "@rule[0]"] <nil>
}
