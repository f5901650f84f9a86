package tega_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// source is all of this package's test files.
func source(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	files := must(filepath.Glob("*_test.go"))(t)
	for _, file := range files {
		all.Write(must(os.ReadFile(file))(t))
	}
	return all.String()
}

func TestEveryScenarioOfTheDriversTableHasATest(t *testing.T) {
	table, err := os.ReadFile("../behaviours.md")
	if err != nil {
		t.Skip("there's no ../behaviours.md to compare with")
	}
	tests := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^func Test(\w+)\(`).FindAllStringSubmatch(source(t), -1) {
		tests[strings.ToLower(found[1])] = true
	}
	_, scenarios, ok := strings.Cut(string(table), "\n## Scenarios\n")
	rows := regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\|").FindAllStringSubmatch(scenarios, -1)
	if !ok || len(rows) < 40 {
		t.Fatalf("the table can't be read: %d rows", len(rows))
	}
	for _, row := range rows {
		if !tests[strings.ReplaceAll(row[1], "-", "")] {
			t.Errorf("%s has no test", row[1])
		}
	}
}

func TestFirstScreen(t *testing.T) {
	s := startServer(t)
	readme := string(must(os.ReadFile("README.md"))(t))
	blocks := regexp.MustCompile("(?s)```(go|text)\n(.*?)```").FindAllStringSubmatch(readme, 2)
	if len(blocks) != 2 || blocks[0][1] != "go" || blocks[1][1] != "text" {
		t.Fatal("the README doesn't begin with a program and what it prints")
	}
	program := filepath.Join(t.TempDir(), "main.go")
	write(t, program, blocks[0][2])
	binary := filepath.Join(t.TempDir(), "first")
	run := func(name string, args ...string) string {
		command := exec.Command(name, args...)
		command.Env = append(os.Environ(), "TEGA_URL="+s.url)
		command.Stderr = os.Stderr
		out, err := command.Output()
		check(t, err)
		return string(out)
	}
	run("go", "build", "-o", binary, program)
	equal(t, run(binary), blocks[1][2])
	// Who tries it tries it more than once; versions go on, and the server forgets the first ones.
	for n := 0; n < 5; n++ {
		equal(t, strings.Count(run(binary), "\n"), 3)
	}
	equal(t, strings.HasSuffix(run(binary), "mtu 1500 <nil>\n"), true)
}
