/* The import's pages: a file that is dropped and uploaded with progress, and samples that follow the matching. */
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("form[data-jobs-upload]").forEach(upload);
    document.querySelectorAll("form[data-jobs-columns]").forEach(columns);
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

    form.addEventListener("submit", function (event) {
      event.preventDefault();
      const file = input.files[0];
      if (!file) return say("Choose a file first.");
      if (file.size > limit) return say("The file is larger than " + form.dataset.maxMegabytes + " MB.");
      say("");
      button.disabled = true;
      const request = new XMLHttpRequest();
      request.open("POST", form.action || location.href);
      request.setRequestHeader("X-Requested-With", "XMLHttpRequest");
      request.upload.addEventListener("progress", function (step) {
        if (step.lengthComputable) show((step.loaded / step.total) * 100, size(step.loaded) + " of " + size(step.total));
      });
      request.upload.addEventListener("load", function () { show(100, "Looking at the file …"); });
      request.addEventListener("load", function () {
        let answer = {};
        try { answer = JSON.parse(request.responseText); } catch (problem) { answer = {}; }
        if (answer.location) { location.href = answer.location; return; }
        failed(answer.error || "The upload failed (" + request.status + "). Try again.");
      });
      request.addEventListener("error", function () { failed("The connection broke. Try again."); });
      request.send(new FormData(form));
      show(0, "Uploading");
    });
    function failed(text) {
      button.disabled = false;
      bar.hidden = true;
      say(text);
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
      target.addEventListener("change", function () {
        row.classList.toggle("jobs-row-off", !target.value);
        only(target);
        later();
      });

      async function look() {
        if (!target.value) return say(row, "", false);
        const mine = (asked += 1);
        const body = new URLSearchParams({
          column: row.dataset.column, target: target.value, transforms: transforms.value, default: fallback.value,
        });
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
        if (other !== chosen && other.value === chosen.value) {
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
})();
