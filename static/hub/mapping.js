/* The live preview of a mapping: sends the rows and a sample, shows what comes out beside each row. */
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", function () {
    const form = document.querySelector("form[data-mapping]");
    if (!form) return;
    const sample = form.querySelector("[data-sample]");
    const place = form.querySelector("[data-preview]");
    let timer, asked = 0;

    function later() { clearTimeout(timer); timer = setTimeout(preview, 350); }
    form.addEventListener("input", later);
    form.addEventListener("change", later);
    form.addEventListener("rows:changed", later);
    later();

    function rows() {
      return Array.from(form.querySelectorAll("[data-rows-body] > [data-row]")).filter(function (row) { return !row.hidden; });
    }
    function value(row, name) {
      const input = row.querySelector("[name$=-" + name + "]");
      return input ? input.value.trim() : "";
    }
    function spec(list) {
      return {
        unmapped: form.querySelector("[name=unmapped]").value || "ignore",
        fields: list.map(function (row) {
          const entry = { target: value(row, "target") };
          ["source", "transforms", "default", "constant"].forEach(function (name) {
            const text = value(row, name);
            if (text) entry[name] = text;
          });
          if (row.querySelector("[name$=-required]").checked) entry.required = true;
          try { const rules = JSON.parse(value(row, "rules") || "[]"); if (rules.length) entry.validation = rules; } catch (error) { /* the server says so when it is saved */ }
          return entry;
        }),
      };
    }

    async function preview() {
      const list = rows().filter(function (row) { return value(row, "target"); });
      const turn = (asked += 1);
      const data = new FormData();
      data.set("csrfmiddlewaretoken", form.querySelector("[name=csrfmiddlewaretoken]").value);
      data.set("dataset", form.dataset.dataset);
      data.set("spec", JSON.stringify(spec(list)));
      data.set("sample", sample.value);
      let seen;
      try {
        const answer = await fetch(form.dataset.previewUrl, { method: "POST", body: data, credentials: "same-origin" });
        seen = answer.ok ? await answer.json() : { problem: "The preview could not be made (" + answer.status + ")." };
      } catch (error) {
        seen = { problem: "The hub does not answer." };
      }
      if (turn === asked) show(list, seen);
    }

    // A sample that nobody has filled in yet: that fields are missing in it is no news.
    function isBlank() {
      try {
        const row = JSON.parse(sample.value);
        return row !== null && typeof row === "object" && Object.values(row).every(function (one) { return one === "" || one === null; });
      } catch (error) { return false; }
    }

    function show(list, seen) {
      rows().forEach(function (row) { say(row, "", ""); });
      if (seen.problem) { place.replaceChildren(note(seen.problem, "bad")); return; }
      if (seen.errors) {
        place.replaceChildren.apply(place, seen.errors.map(function (error) {
          const found = /^\/fields\/(\d+)/.exec(error.pointer);
          if (found && list[Number(found[1])]) say(list[Number(found[1])], error.text, "bad");
          return note(error.text, "bad");
        }));
        return;
      }
      if (isBlank()) {
        const hint = document.createElement("p");
        hint.className = "hub-muted";
        hint.textContent = "Write values into the sample row, and see what they become.";
        place.replaceChildren(hint);
        return;
      }
      const byTarget = {};
      list.forEach(function (row) { byTarget[value(row, "target")] = row; });
      seen.problems.forEach(function (problem) { if (byTarget[problem.field]) say(byTarget[problem.field], problem.text, "bad"); });
      seen.values.forEach(function (one) { if (byTarget[one.name] && !one.blank) say(byTarget[one.name], "→ " + one.text, "good"); });
      const parts = seen.problems.map(function (problem) { return note(problem.text, "bad"); });
      if (seen.values.length) parts.push(table(seen.values));
      if (!parts.length) parts.push(note("The row gives no values.", "warn"));
      place.replaceChildren.apply(place, parts);
    }
    function say(row, text, tone) {
      const line = row.querySelector("[data-result]");
      line.textContent = text;
      line.className = "hub-map-result" + (tone ? " hub-map-" + tone : "");
    }
    function note(text, tone) {
      const node = document.createElement("p");
      node.className = "hub-notice hub-notice-" + tone;
      node.style.marginBottom = ".5rem";
      node.textContent = text;
      return node;
    }
    function table(values) {
      const list = document.createElement("dl");
      list.className = "hub-facts";
      values.forEach(function (one) {
        const name = document.createElement("dt");
        name.textContent = one.label;
        const shown = document.createElement("dd");
        shown.textContent = one.blank ? "–" : one.text;
        list.append(name, shown);
      });
      return list;
    }
  });
})();
