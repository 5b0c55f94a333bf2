/* The import's pages: a file that is dropped and uploaded with progress, and samples that follow the matching. */
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("form[data-jobs-upload]").forEach(upload);
    document.querySelectorAll("[data-jobs-place]").forEach(place);
    document.querySelectorAll("form[data-jobs-reading]").forEach(reading);
    document.querySelectorAll("form[data-jobs-columns]").forEach(columns);
    document.querySelectorAll("[data-jobs-edit]").forEach(edit);
    document.querySelectorAll("[data-jobs-fix]").forEach(fix);
  });

  // --- step 1
  function upload(form) {
    const input = form.querySelector("input[type=file]");
    const zone = form.querySelector("[data-drop]");
    const name = form.querySelector("[data-drop-name]");
    const error = form.querySelector("[data-upload-error]");
    const bar = form.querySelector("[data-upload-progress]");
    const button = form.querySelector("button[type=submit]");
    const limit = Number(form.dataset.maxMegabytes) * 1048576;

    ["dragenter", "dragover"].forEach(function (kind) {
      zone.addEventListener(kind, function (event) { event.preventDefault(); zone.classList.add("jobs-over"); });
    });
    ["dragleave", "drop"].forEach(function (kind) {
      zone.addEventListener(kind, function () { zone.classList.remove("jobs-over"); });
    });
    zone.addEventListener("drop", function (event) {
      event.preventDefault();
      if (event.dataTransfer.files.length) {
        input.files = event.dataTransfer.files;
        chosen();
      }
    });
    input.hasChangeListener = true;  // Unfold would look for a text field beside it, and there is none
    input.addEventListener("change", chosen);

    function chosen() {
      const file = input.files[0];
      say("");
      if (file) name.textContent = file.name + " (" + size(file.size) + ")";
    }
    function size(bytes) {
      return bytes < 1048576 ? Math.max(1, Math.round(bytes / 1024)) + " KB" : (bytes / 1048576).toFixed(1) + " MB";
    }
    function say(text) {
      error.textContent = text;
      error.hidden = !text;
    }
    function show(percent, text) {
      bar.hidden = false;
      bar.querySelector(".hub-track i").style.width = percent + "%";
      bar.querySelector("b").textContent = Math.round(percent) + "%";
      bar.querySelector("[data-upload-text]").textContent = text;
    }

    form.querySelectorAll("input[name=source]").forEach(function (one) {
      one.addEventListener("change", function () { say(""); });
    });

    function source() {
      return form.querySelector("input[name=source]:checked").value;
    }
    // Pasted rows go as a file does: the same limit, the same progress.
    function gathered() {
      const data = new FormData(form);
      let file = null;
      if (source() === "file") {
        file = input.files[0];
        if (!file) { say("Choose a file first."); return null; }
      } else {
        data.delete("import_file");
      }
      const text = data.get("rows");
      data.delete("rows");
      if (source() === "paste") {
        if (!text.trim()) { say("Paste some rows first: copy them in the spreadsheet, with the row of headers."); return null; }
        file = new File([text.replace(/\r\n/g, "\n")], "Pasted rows");
        data.set("rows", file);
      }
      if (file && file.size > limit) {
        say((source() === "file" ? "The file is" : "The rows are") + " larger than " + form.dataset.maxMegabytes + " MB.");
        return null;
      }
      return data;
    }

    form.addEventListener("submit", function (event) {
      event.preventDefault();
      const data = gathered();
      if (!data) return;
      say("");
      const sent = source() === "file" || source() === "paste";
      button.disabled = true;
      const request = new XMLHttpRequest();
      request.open("POST", form.action || location.href);
      request.setRequestHeader("X-Requested-With", "XMLHttpRequest");
      request.upload.addEventListener("progress", function (step) {
        if (sent && step.lengthComputable) show((step.loaded / step.total) * 100, size(step.loaded) + " of " + size(step.total));
      });
      request.upload.addEventListener("load", function () { show(100, sent ? "Looking at the rows …" : "Fetching the file …"); });
      request.addEventListener("load", function () {
        let answer = {};
        try { answer = JSON.parse(request.responseText); } catch (problem) { answer = {}; }
        if (answer.location) { location.href = answer.location; return; }
        failed(answer.error || "The upload failed (" + request.status + "). Try again.");
      });
      request.addEventListener("error", function () { failed("The connection broke. Try again."); });
      request.send(data);
      show(0, sent ? "Uploading" : "Fetching the file …");
    });
    function failed(text) {
      button.disabled = false;
      bar.hidden = true;
      say(text);
    }
  }

  // The files of a place, to choose from.
  function place(box) {
    const button = box.querySelector("[data-look]");
    if (!button) return;
    const path = box.querySelector("input[name=path]");
    const chooser = box.querySelector("select[name=place]");
    const error = box.querySelector("[data-look-error]");
    const list = box.querySelector("[data-look-found]");
    const token = box.closest("form").querySelector("input[name=csrfmiddlewaretoken]").value;
    button.hidden = false;

    function say(text) {
      error.textContent = text;
      error.hidden = !text;
    }
    function forget() {
      list.hidden = true;
      list.replaceChildren();
      say("");
    }
    chooser.addEventListener("change", forget);
    button.addEventListener("click", async function () {
      forget();
      button.disabled = true;
      let seen;
      try {
        const answer = await fetch(box.dataset.url, {
          method: "POST", credentials: "same-origin", headers: { "X-CSRFToken": token, Accept: "application/json" },
          body: new URLSearchParams({ place: chooser.value, path: path.value }),
        });
        seen = await answer.json();
      } catch (problem) {
        seen = { error: "The hub did not answer. Try again." };
      }
      button.disabled = false;
      if (seen.error) return say(seen.error);
      if (!seen.files.length) return say("There are no files in " + (seen.folder ? "“" + seen.folder + "”." : "the place's folder."));
      seen.files.forEach(function (file) {
        const row = document.createElement("li");
        const choose = document.createElement("button");
        choose.type = "button";
        choose.className = "hub-link";
        choose.textContent = file.name;
        choose.addEventListener("click", function () { path.value = file.path; forget(); path.focus(); });
        const about = document.createElement("em");
        about.className = "hub-muted";
        about.textContent = [file.size ? Math.max(1, Math.round(file.size / 1024)) + " KB" : "", file.when].filter(Boolean).join(", ");
        row.append(choose, about);
        list.append(row);
      });
      if (seen.more) {
        const row = document.createElement("li");
        row.className = "hub-muted";
        row.textContent = "and " + seen.more + " older ones: enter the path.";
        list.append(row);
      }
      list.hidden = false;
    });
  }

  // --- step 2: each change of how the file is read shows its rows anew
  function reading(form) {
    const page = form.closest(".hub-page");
    const button = form.querySelector("button[type=submit]");
    if (!button) return;
    button.hidden = true;
    form.addEventListener("change", function (event) { read(event.target.name); });
    form.addEventListener("submit", function (event) { event.preventDefault(); read(document.activeElement.name); });

    async function read(name) {
      const body = new URLSearchParams(new FormData(form));
      page.setAttribute("aria-busy", "true");
      form.inert = true;  // one reading at a time
      let fresh = null;
      try {
        const answer = await fetch(location.pathname, { method: "POST", body: body, credentials: "same-origin" });
        if (answer.ok) fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".hub-page");
      } catch (problem) { fresh = null; }
      form.inert = false;
      if (!fresh || !fresh.querySelector("form[data-jobs-reading]")) { form.submit(); return; }
      page.replaceWith(fresh);
      fresh.querySelectorAll("form[data-jobs-reading]").forEach(reading);
      const input = name && fresh.querySelector("[name='" + name + "']");
      if (input) input.focus();
    }
  }

  // --- step 3
  function columns(form) {
    const token = form.querySelector("input[name=csrfmiddlewaretoken]").value;
    form.querySelectorAll("[data-column]").forEach(function (row) {
      const target = row.querySelector("[data-target]");
      const transforms = row.querySelector("[data-transforms]");
      const fallback = row.querySelector("[data-default]");
      let timer = null;
      let asked = 0;
      function later() {
        clearTimeout(timer);
        timer = setTimeout(look, 350);
      }
      [target, transforms, fallback].forEach(function (input) { input.addEventListener("input", later); });
      const fresh = row.querySelector("[data-new]");
      if (fresh) fresh.querySelector("[data-new-type]").addEventListener("change", function () {
        transforms.value = "";
        propose = true;
        sure.value = "";
        ways.replaceChildren();
        later();
      });
      let propose = false;
      const sure = row.querySelector("[data-sure]");
      const ways = row.querySelector("[data-ways]");
      target.addEventListener("change", function () {
        row.classList.toggle("jobs-row-off", !target.value);
        if (fresh) fresh.hidden = target.value !== "+";
        propose = true;
        sure.value = "";
        ways.replaceChildren();
        only(target);
        later();
      });
      ways.addEventListener("click", function (event) {
        const chosen = event.target.closest("[data-way]");
        if (!chosen) return;
        transforms.value = chosen.dataset.way;
        sure.value = "1";
        ways.querySelectorAll("[data-way]").forEach(function (way) { way.setAttribute("aria-pressed", way === chosen); });
        later();
      });

      function offer(found) {
        if (!found.length) return;
        const line = document.createElement("p");
        line.textContent = "Read as";
        ways.replaceChildren(line);
        found.forEach(function (way) {
          const button = document.createElement("button");
          button.type = "button";
          button.className = "hub-button hub-small";
          button.dataset.way = way.transforms;
          button.textContent = way.words;
          button.setAttribute("aria-pressed", "false");
          ways.append(button, " ");
        });
      }

      async function look() {
        if (!target.value) {
          row.querySelector("[data-rule]").textContent = row.querySelector("[data-fitting]").textContent = "";
          return say(row, "", false);
        }
        const mine = (asked += 1);
        const asking = propose;
        propose = false;
        const body = new URLSearchParams({
          column: row.dataset.column, target: target.value, transforms: transforms.value, default: fallback.value,
          propose: asking ? "1" : "",
        });
        if (fresh && target.value === "+") {
          body.set("type", fresh.querySelector("[data-new-type]").value);
          body.set("label", fresh.querySelector("[data-new-label]").value);
        }
        let seen;
        try {
          const answer = await fetch(form.dataset.sampleUrl, {
            method: "POST", body: body, credentials: "same-origin",
            headers: { "X-CSRFToken": token, Accept: "application/json" },
          });
          if (!answer.ok) return;
          seen = await answer.json();
        } catch (problem) { return; }
        if (mine !== asked) return;
        if (seen.error) return say(row, seen.error, true);
        if (asking && seen.transforms) transforms.value = seen.transforms;
        if (asking) offer(seen.ways || []);
        row.querySelector("[data-rule]").textContent = seen.rule ? "Reads " + seen.rule : "";
        row.querySelector("[data-fitting]").textContent = seen.filled
          ? (row.querySelector(".jobs-stats").firstChild.nodeType === 3 ? ", " : "") + Math.floor((100 * seen.fitting) / seen.filled) + " % fit" : "";
        const wrong = (seen.values || []).find(function (one) { return one.problem; });
        if (wrong) return say(row, wrong.problem, true);
        const good = (seen.values || []).filter(function (one) { return one.becomes; }).slice(0, 3);
        say(row, good.length ? "→ " + good.map(function (one) { return one.becomes; }).join(" · ") : "", false);
      }
      if (target.value && form.querySelectorAll("[data-column]").length <= 60) setTimeout(look, 50);
    });

    // A field takes one column.
    function only(chosen) {
      if (!chosen.value) return;
      form.querySelectorAll("[data-target]").forEach(function (other) {
        if (other !== chosen && other.value === chosen.value && chosen.value !== "+") {
          other.value = "";
          other.closest("[data-column]").classList.add("jobs-row-off");
          say(other.closest("[data-column]"), "", false);
        }
      });
    }
    function say(row, text, bad) {
      const line = row.querySelector("[data-result]");
      line.textContent = text;
      line.classList.toggle("jobs-bad", bad);
    }
  }

  // --- step 4: wrong cells, corrected in the page
  function edit(table) {
    const url = table.dataset.url;
    const token = table.dataset.token;

    async function send(body, values) {
      const row = values.row;
      body.classList.add("jobs-saving");
      let answer, seen = {};
      try {
        answer = await fetch(url, {
          method: "POST", body: new URLSearchParams(values), credentials: "same-origin",
          headers: { "X-CSRFToken": token, Accept: "application/json" },
        });
        seen = await answer.json();
      } catch (problem) {
        seen = { error: "It was not saved: the connection broke. Try again." };
      }
      body.classList.remove("jobs-saving");
      const said = body.querySelector("[data-said]");
      if (seen.error) { said.textContent = seen.error; body.classList.remove("jobs-right"); return false; }
      if (seen.row) show(body, seen.row);
      stale(seen.corrections);
      return Boolean(row);
    }

    function show(body, row) {
      const wrong = new Set(row.problems.map(function (one) { return String(one.column); }));
      body.querySelectorAll("input[data-column]").forEach(function (input) {
        const bad = wrong.has(input.dataset.column) && !row.skipped;
        input.classList.toggle("jobs-bad-cell", bad);
        input.toggleAttribute("aria-invalid", bad);
        input.disabled = row.skipped;
      });
      body.classList.toggle("jobs-skipped", row.skipped);
      body.classList.toggle("jobs-right", !row.skipped && row.problems.length === 0);
      body.querySelector("[data-said]").textContent = row.skipped ? "Skipped." : row.said || "Right now.";
      const skip = body.querySelector("[data-skip]");
      skip.setAttribute("aria-pressed", row.skipped);
      skip.textContent = row.skipped ? "Skipped" : "Skip";
    }

    function stale() {
      document.querySelectorAll("[data-again]").forEach(function (button) {
        button.classList.add("hub-primary");
        button.textContent = "Check again";
      });
      let note = document.querySelector("[data-stale]");
      if (!note) {
        note = document.createElement("p");
        note.className = "hub-notice hub-notice-warn";
        note.dataset.stale = "";
        note.textContent = "The file was corrected since this check. Check again to see what is left.";
        document.getElementById("wrong").before(note);
      }
    }

    table.querySelectorAll("[data-row]").forEach(function (body) {
      const row = body.dataset.row;
      body.querySelectorAll("input[data-column]").forEach(function (input) {
        let last = input.value;
        input.addEventListener("change", async function () {
          if (input.value === last) return;
          const value = input.value;
          if (await send(body, { row: row, column: input.dataset.column, value: value, kind: "set" })) last = value;
        });
        input.addEventListener("keydown", function (event) {
          if (event.key === "Escape") input.value = last;
          if (event.key !== "Enter") return;
          event.preventDefault();
          const all = Array.from(table.querySelectorAll("input[data-column]:not([disabled])"));
          (all[all.indexOf(input) + (event.shiftKey ? -1 : 1)] || input).focus();
          input.blur();
          (all[all.indexOf(input) + (event.shiftKey ? -1 : 1)] || input).focus();
        });
      });
      body.querySelector("[data-skip]").addEventListener("click", function () {
        const skipped = body.classList.contains("jobs-skipped");
        send(body, { row: row, kind: skipped ? "undo" : "skip" });
      });
    });
  }

  function fix(form) {
    const kind = form.querySelector("[data-fix-kind]");
    function follow() {
      form.querySelectorAll("[data-fix-for]").forEach(function (label) {
        label.hidden = !label.dataset.fixFor.split(" ").includes(kind.value);
      });
      const name = form.querySelector("[data-fix-name]");
      if (name) name.textContent = kind.value === "replace" ? "Replace by" : "Value (empty: blank)";
    }
    kind.addEventListener("change", follow);
    follow();
  }
})();
