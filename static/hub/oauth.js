// Choosing an organization shows at once what would be allowed there.
for (const form of document.querySelectorAll("form[data-submit-on-change]")) {
  form.querySelector("[data-without-script]").hidden = true;
  form.addEventListener("change", () => form.requestSubmit());
}
