"""Templates of organizations: what they can say, and what they can never do."""

from __future__ import annotations

import json
import time

import pytest

from apps.webhooks.models import Delivery
from apps.webhooks.services import deliveries, endpoints
from apps.webhooks.statuses import DeliveryStatus
from apps.webhooks.templating import TemplateFailed, TemplateInvalid, compile_template
from tests.webhooks.conftest import ADA, publish, run

JSON, XML, TEXT, FORM = (
    "application/json", "application/xml", "text/plain", "application/x-www-form-urlencoded",
)  # fmt: skip
NAMES = {
    "id": "evt_1",
    "type": "custom.order.paid",
    "data": {
        "name": 'Ada "L" <b>&\n',
        "total": "1200.505",
        "lines": [{"sku": "A"}, {"sku": "B"}],
        "empty": [],
        "none": None,
        "on": True,
    },
}


def fill(source, content_type=TEXT, names=NAMES):
    return compile_template(source, content_type).render(names).decode()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ id }}/{{ type }}", "evt_1/custom.order.paid"),
        ("{{ data.lines.1.sku }}{{ data.lines.9.sku }}{{ data.no.such }}", "B"),
        ('{{ data.none | default: "-" }}', "-"),
        ("{{ data.total | round: 2 }}", "1200.51"),
        ("{{ data.lines | json }}", '[{"sku":"A"},{"sku":"B"}]'),
        ("{{ data.lines | size }} {{ type | upper }}", "2 CUSTOM.ORDER.PAID"),
        ('{{ type | replace: "custom.", "" | truncate: 6 }}', "order…"),
        ('{% if data.total > 1000 and data.on == true %}big{% else %}small{% endif %}', "big"),
        ('{% if type == "x" %}a{% elif "order" in type %}b{% endif %}', "b"),
        ("{% if not data.empty or (data.none and data.on) %}y{% endif %}", "y"),
        (
            "{% for l in data.lines %}{{ loop.index }}{{ l.sku }}"
            "{% if not loop.last %},{% endif %}{% endfor %}",
            "1A,2B",
        ),
        ("{% for l in data.name %}x{% endfor %}{# nothing #}", ""),
        ('{{ "a\\"b" }}', 'a"b'),
    ],
)  # fmt: skip
def test_what_templates_say(source, text):
    assert fill(source) == text


def test_values_are_escaped_by_the_content_type():
    told = fill(
        '{"a": {{ data.name }}, "b": "<{{ data.name }}>", "c": {{ data.none }}, "d": {{ data.lines }}}', JSON
    )
    name = NAMES["data"]["name"]
    assert json.loads(told) == {"a": name, "b": f"<{name}>", "c": None, "d": [{"sku": "A"}, {"sku": "B"}]}
    assert fill("<a b='{{ data.name }}'>{{ data.name }}</a>", XML) == (
        "<a b='Ada &quot;L&quot; &lt;b&gt;&amp;\n'>Ada &quot;L&quot; &lt;b&gt;&amp;\n</a>"
    )
    assert fill("a={{ data.name }}&b=1", FORM) == "a=Ada+%22L%22+%3Cb%3E%26%0A&b=1"


@pytest.mark.parametrize(
    "source",
    [
        "",
        "{{ data.__class__ }}",
        "{{ __import__ }}",
        "{{ data.__class__.__mro__ }}",
        "{{ ''.__class__ }}",
        "{{ data['x'] }}",
        "{{ data.x() }}",
        "{{ data.name | attr: 'upper' }}",
        "{{ data.name | upper: 1 }}",
        "{{ data.name | replace }}",
        "{{ 1 + 1 }}",
        "{{ a = 1 }}",
        "{{ x | default: }}",
        "{{ (data.x }}",
        "{{ }}",
        "{{ data.x",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{% for i in (1..1000000000) %}x{% endfor %}",
        "{% while true %}x{% endwhile %}",
        "{% for data in data.lines %}x{% endfor %}",
        "{% for l in data.lines %}",
        "{% if data.x %}",
        "{% endif %}",
        "{% else %}",
        "{% if a %}{% else %}{% elif b %}{% endif %}",
        "{% include '/etc/passwd' %}",
        "{% import os %}",
        "{% if a %}" * 9 + "{% endif %}" * 9,
        "{{ " + "(" * 50 + "a" + ")" * 50 + " }}",
        "{{ " + "not " * 200 + "a }}",
        "x" * 40_000,
        "{{ a }}" * 2000,
    ],
)
def test_what_templates_cannot_say(source):
    with pytest.raises(TemplateInvalid):
        compile_template(source, TEXT)


def test_a_text_in_quotes_stays_in_its_block():
    with pytest.raises(TemplateInvalid, match="quotes"):
        compile_template('{"a": {% if x %}"b{% endif %}"}', JSON)
    with pytest.raises(TemplateInvalid, match="one of"):
        compile_template("x", "text/html")


def test_templates_that_would_run_for_ever_end():
    names = {"data": {"l": list(range(1000)), "s": "x" * 200_000}}
    begun = time.monotonic()
    loops = (
        "{% for a in data.l %}"
        + "{% for b in data.l %}{% for c in data.l %}{% endfor %}{% endfor %}{% endfor %}"
    )
    for source in (
        loops,
        "{% for a in data.l %}{{ data.s }}{% endfor %}",
        '{{ data.s | replace: "x", "' + "y" * 500 + '" }}',
        "{{ data.l | join: data.s }}",
        "{% for a in data.l %}{% if data.s | upper | lower | json == 1 %}{% endif %}{% endfor %}" * 3,
    ):
        with pytest.raises(TemplateFailed):
            compile_template(source, TEXT).render(names)
    assert time.monotonic() - begun < 60  # each is cut after a quarter of a second; machines may be busy


def test_what_comes_out_must_be_what_it_says():
    with pytest.raises(TemplateFailed, match="not JSON"):
        fill("{{ data.name }}{", JSON)
    with pytest.raises(TemplateFailed, match="not XML"):
        fill("<a>{{ data.name }}", XML)
    with pytest.raises(TemplateFailed, match="document type"):
        fill('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', XML)


TEMPLATE = '{"text": "Order {{ data.order | round: 0 }} of {{ data.name }}"}'


def custom(endpoint_at, receiver, **options):
    return endpoint_at(receiver.url, payload_format="custom", custom_template=TEMPLATE, **options)


def test_a_template_makes_the_message_and_its_bytes_are_signed(organization, endpoint_at, receiver):
    from apps.webhooks import signing

    endpoint = custom(endpoint_at, receiver)
    publish(organization, order=7, name='A "B"')
    run()

    arrival = receiver.arrivals[0]
    assert json.loads(arrival.body) == {"text": 'Order 7 of A "B"'}
    assert arrival.headers["content-type"] == "application/json"
    signing.verify(headers=arrival.headers, body=arrival.body, secrets=[endpoint.secret])


def test_a_template_that_fails_leaves_a_failed_delivery_that_can_be_mended(
    organization, endpoint_at, receiver
):
    endpoint = custom(endpoint_at, receiver)
    other = endpoint_at(receiver.url)
    publish(organization, order=10**25, name="x")
    run()

    failed = Delivery.objects.get(endpoint=endpoint)
    assert (failed.status, failed.payload, failed.attempts) == (DeliveryStatus.FAILED, None, 0)
    assert "places" in failed.last_error
    assert other.deliveries.get().status == DeliveryStatus.DELIVERED
    assert len(receiver.arrivals) == 1

    endpoints.update(endpoint=endpoint, actor=ADA, custom_template='{"text": {{ data.name }}}')
    deliveries.retry(
        delivery=Delivery.objects.select_related("endpoint", "organization").get(pk=failed.pk), actor=ADA
    )
    run()
    assert receiver.arrivals[1].body == b'{"text": "x"}'
    assert receiver.arrivals[1].id == receiver.arrivals[0].id


def test_preview_by_the_api(api, organization, endpoint_at, receiver):
    endpoint = custom(endpoint_at, receiver)
    path = f"/api/v1/webhooks/{endpoint.number}/preview"
    sample = api.post(path, {}, format="json").json()
    assert sample["is_sample"] is True

    event = publish(organization, order=7, name="Ada")
    publish(organization, type="webhook.test", message="not listened for")
    told = api.post(path, {}, format="json").json()
    assert told == {
        "event": event.public_id,
        "event_type": "custom.order.paid",
        "is_sample": False,
        "wanted": True,
        "content_type": "application/json",
        "body": '{"text": "Order 7 of Ada"}',
    }
    tried = api.post(
        path,
        {"event": event.public_id, "event_filters": {"order": 8}, "payload_config": {"format": "form"}},
        format="json",
    ).json()
    assert tried["wanted"] is False
    assert tried["content_type"] == FORM
    assert not receiver.arrivals

    refused = api.post(path, {"payload_config": {"custom_template": "{{ data.__class__ }}"}}, format="json")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/payload_config/custom_template"
    assert api.post(path, {"event": "evt_00000000000000000000000000"}, format="json").status_code == 404
