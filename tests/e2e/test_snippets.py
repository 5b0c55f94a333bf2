"""The guide's receivers in JavaScript, Go and PHP, and its sender with curl, run as they stand there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.webhooks.guide import SECRET, cases, snippet
from tests.webhooks.test_receive_webhooks import receiving

pytestmark = pytest.mark.e2e

JAVASCRIPT = """
import { readFileSync } from "node:fs";
for (const [headers, body, good] of JSON.parse(readFileSync(process.argv[2]))) {
  let passed = true;
  try { verify(process.argv[3], headers, Buffer.from(body)); } catch (error) { passed = false; }
  if (passed !== good) { console.error(JSON.stringify([headers, body, good])); process.exit(1); }
}
console.log("all judged");
"""

GO = """
package hooks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
)

func TestVerify(t *testing.T) {
	file, err := os.ReadFile(os.Getenv("CASES"))
	if err != nil {
		t.Fatal(err)
	}
	var all [][3]json.RawMessage
	if err := json.Unmarshal(file, &all); err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		var names map[string]string
		var body string
		var good bool
		json.Unmarshal(one[0], &names)
		json.Unmarshal(one[1], &body)
		json.Unmarshal(one[2], &good)
		header := http.Header{}
		for name, value := range names {
			header.Set(name, value)
		}
		if err := Verify(os.Getenv("SECRET"), header, []byte(body)); (err == nil) != good {
			t.Errorf("%v: %v", names, err)
		}
	}
	fmt.Println("all judged")
}
"""

PHP = """
foreach (json_decode(file_get_contents($argv[1]), true) as [$headers, $body, $good]) {
    $passed = true;
    try {
        verify($argv[2], $headers, $body);
    } catch (RuntimeException $error) {
        $passed = false;
    }
    if ($passed !== $good) {
        fwrite(STDERR, json_encode([$headers, $body, $good]));
        exit(1);
    }
}
echo "all judged";
"""


def needs(program: str, package: str) -> None:
    if shutil.which(program) is None:
        pytest.fail(f"This test needs {program}: apt-get install -y {package}.", pytrace=False)


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """The cases, for a program to read."""
    file = tmp_path / "cases.json"
    file.write_text(json.dumps([[headers, body.decode(), good] for headers, body, good in cases()]))
    return file


def judged(command: list[str], **options: object) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all judged" in done.stdout


def test_javascript(told: Path, tmp_path: Path) -> None:
    needs("node", "nodejs")
    file = tmp_path / "check.mjs"
    file.write_text(snippet("javascript", "function verify") + JAVASCRIPT, encoding="utf-8")
    judged(["node", str(file), str(told), SECRET])


def test_go(told: Path, tmp_path: Path) -> None:
    needs("go", "golang-go")
    folder = tmp_path / "hooks"
    folder.mkdir()
    (folder / "go.mod").write_text("module hooks\n\ngo 1.19\n", encoding="utf-8")
    (folder / "hooks.go").write_text(snippet("go", "func Verify"), encoding="utf-8")
    (folder / "hooks_test.go").write_text(GO, encoding="utf-8")
    own = {"GOCACHE": str(tmp_path / "cache"), "GOPATH": str(tmp_path / "path"), "GOPROXY": "off"}
    given = {"CASES": str(told), "SECRET": SECRET, "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    judged(["go", "test", "-v", "./..."], cwd=folder, env=os.environ | own | given)


def test_php(told: Path, tmp_path: Path) -> None:
    needs("php", "php-cli")
    file = tmp_path / "check.php"
    file.write_text(snippet("php", "function verify") + PHP, encoding="utf-8")
    judged(["php", "-d", "error_reporting=-1", "-d", "display_errors=stderr", str(file), str(told), SECRET])


def test_curl(db: None, tmp_path: Path) -> None:
    needs("curl", "curl")
    needs("openssl", "openssl")
    file = tmp_path / "send.sh"
    file.write_text(snippet("sh", "openssl dgst"), encoding="utf-8")
    with receiving("--secret", SECRET, "--json", "--count", "1") as (process, url):
        sent = subprocess.run(
            ["bash", "-eu", str(file), url],
            env={"WEBHOOK_SECRET": SECRET, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
        )
        told = [json.loads(line) for line in process.stdout]
    assert sent.returncode == 0, sent.stderr
    assert [(row["id"], row["signature"]) for row in told] == [("evt_test", "right")]
