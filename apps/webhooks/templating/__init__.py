"""Templates that organizations write for their own message formats: a small language with nothing to reach.

    {"text": "Invoice {{ data.number }} over {{ data.total | default: "0.00" }}",
     "urgent": {% if data.total > 1000 and data.status != "paid" %}true{% else %}false{% endif %},
     "lines": [{% for line in data.lines %}{{ line.sku }}{% if not loop.last %},{% endif %}{% endfor %}]}

`{{ … }}` puts a value in, by the rules of the content type: in JSON a value outside of quotes becomes JSON,
inside of quotes it is escaped; XML and form data are escaped likewise. Names are keys of the message (`id`,
`type`, `timestamp`, `data`, `metadata`) and nothing else: there are no attributes, calls, imports or
assignments. `for` goes through lists of the message only, so that no template runs for ever; steps, time and
size are bounded all the same. What comes out must be well-formed JSON or XML.
"""

from apps.webhooks.templating.errors import TemplateFailed, TemplateInvalid
from apps.webhooks.templating.render import CONTENT_TYPES, Template, compile_template

__all__ = ["CONTENT_TYPES", "Template", "TemplateFailed", "TemplateInvalid", "compile_template"]
