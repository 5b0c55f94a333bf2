"""A receiver to try webhooks with: prints what arrives, verifies it, and answers as it is told."""

from __future__ import annotations

import json
import sys
import threading
import time
from argparse import ArgumentParser
from contextlib import suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.kernel.redaction import MASK, is_secret_name
from apps.webhooks import signing
from apps.webhooks.errors import SecretInvalid, SignatureInvalid

MAX_BODY = 10 * 2**20


class Command(BaseCommand):
    help = "Receive webhooks on a local port: print and verify each, and answer as told."
    requires_system_checks = ()  # it needs no database
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8801, help="0 lets the system choose. Default 8801.")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument(
            "--secret",
            action="append",
            default=[],
            help="whsec_… or whpk_… to verify with; may be given several times. Without it that of "
            "WEBHOOK_SECRET; without either nothing is verified.",
        )
        parser.add_argument("--status", type=int, default=204, help="Status to answer with. Default 204.")
        parser.add_argument("--fail-first", type=int, default=0, help="Answer 500 to so many requests first.")
        parser.add_argument(
            "--fail-every", type=int, default=0, help="Answer 500 to every n-th request (0: to none)."
        )
        parser.add_argument("--delay", type=float, default=0, help="Seconds to wait before each answer.")
        parser.add_argument("--count", type=int, default=0, help="Stop after so many requests (0: never).")
        parser.add_argument("--json", action="store_true", help="One JSON object per request, for programs.")
        parser.add_argument("--quiet", action="store_true", help="One line per request, without its body.")

    def handle(self, *args: Any, **options: Any) -> None:
        options["secret"] = options["secret"] or [one for one in [settings.WEBHOOK_SECRET] if one]
        for secret in options["secret"]:
            try:
                signing.check_secret(secret) if not secret.startswith(signing.PUBLIC) else None
            except SecretInvalid as error:
                raise CommandError(error.detail) from None
        inbox = Inbox(options, self.stdout.write)
        try:
            server = _Server((options["host"], options["port"]), _handler_of(inbox))
        except OSError as error:
            raise CommandError(f"Port {options['port']} cannot be used: {error.strerror}.") from None
        inbox.stop = lambda: threading.Thread(target=server.shutdown, daemon=True).start()
        port = server.server_address[1]
        note = "verifying signatures" if options["secret"] else "not verifying: no --secret given"
        print(
            f"Receiving on http://{options['host']}:{port}/ ({note}). Ctrl-C stops.",
            file=sys.stderr,
            flush=True,
        )
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            pass
        finally:
            server.server_close()


class Inbox:
    """Counts, judges and prints requests."""

    def __init__(self, options: dict[str, Any], write: Any) -> None:
        self.options = options
        self.write = write
        self.lock = threading.Lock()
        self.seen: set[str] = set()
        self.count = self.answers = 0
        self.stop: Any = None

    def take(self, handler: BaseHTTPRequestHandler, body: bytes) -> int:
        """Print one request and say which status to answer with."""
        headers = dict(handler.headers.items())
        verdict = self._verdict(headers, body)
        with self.lock:
            self.count += 1
            number = self.count
            message_id = handler.headers.get("webhook-id") or ""
            repeated = message_id in self.seen
            if message_id:
                self.seen.add(message_id)
        options = self.options
        fails = number <= options["fail_first"] or (
            options["fail_every"] and number % options["fail_every"] == 0
        )
        status = 401 if verdict == "wrong" else 500 if fails else options["status"]
        with self.lock:
            self._print(number, handler, headers, body, verdict, repeated, status)
        if options["delay"]:
            time.sleep(options["delay"])
        return status

    def answered(self) -> None:
        """Stop once as many answers are out as were asked for."""
        with self.lock:
            self.answers += 1
            if self.answers == self.options["count"]:
                self.stop()

    def _verdict(self, headers: dict[str, str], body: bytes) -> str:
        if not self.options["secret"]:
            return "unverified"
        try:
            signing.verify(headers=headers, body=body, secrets=self.options["secret"])
        except SignatureInvalid:
            return "wrong"
        return "right"

    def _print(
        self,
        number: int,
        handler: BaseHTTPRequestHandler,
        headers: dict[str, str],
        body: bytes,
        verdict: str,
        repeated: bool,
        status: int,
    ) -> None:
        text = body.decode("utf-8", "replace")
        shown = {name: MASK if is_secret_name(name) and "webhook" not in name.lower() else value
                 for name, value in headers.items()}  # fmt: skip
        message_id = handler.headers.get("webhook-id", "")
        if self.options["json"]:
            told = {
                "number": number, "method": handler.command, "path": handler.path, "id": message_id,
                "signature": verdict, "repeated": repeated, "answer": status, "headers": shown, "body": text,
            }  # fmt: skip
            self.write(json.dumps(told, ensure_ascii=False))
            return
        again = ", seen before" if repeated else ""
        self.write(
            f"{datetime.now():%H:%M:%S} #{number} {handler.command} {handler.path} {message_id} "  # noqa: DTZ005
            f"signature {verdict}{again} → {status}"
        )
        if not self.options["quiet"]:
            for name, value in shown.items():
                self.write(f"    {name}: {value}")
            self.write(_pretty(text))


def _pretty(text: str) -> str:
    """JSON on several lines; control characters never reach the terminal."""
    with suppress(ValueError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text) + "\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def _handler_of(inbox: Inbox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "receive_webhooks"
        sys_version = ""
        timeout = 60

        def _receive(self) -> None:
            try:
                length = int(self.headers.get("Content-Length") or 0)
            except ValueError:
                length = -1
            if not 0 <= length <= MAX_BODY:
                self.close_connection = True
                self._answer(413)
                return
            self._answer(inbox.take(self, self.rfile.read(length)))
            self.wfile.flush()
            inbox.answered()

        do_POST = do_PUT = do_PATCH = _receive

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """The inbox prints."""

    return Handler
