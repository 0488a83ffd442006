// Passkeys: the one thing that pages cannot do without a script. What the browser answers is sent with the form.
(() => {
  const kit = globalThis.SimpleWebAuthnBrowser;
  if (!kit || !kit.browserSupportsWebAuthn()) return;
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const optionsJSON = JSON.parse(form.dataset.options);
    const button = form.querySelector("[data-passkey-button]");
    const begin = form.dataset.passkey === "create" ? kit.startRegistration : kit.startAuthentication;
    for (const part of form.querySelectorAll("[data-passkey-part]")) part.hidden = false;
    button.hidden = false;
    const send = (answer) => {
      form.elements.credential.value = JSON.stringify(answer);
      // What was ticked beside the password counts for the passkey too.
      const taken = form.dataset.takes && document.querySelector(`input[type=checkbox][name=${form.dataset.takes}]`);
      if (taken) form.elements[form.dataset.takes].value = taken.checked ? "1" : "";
      for (const field of form.querySelectorAll("input[type=password]")) field.disabled = true;
      form.submit();
    };
    button.addEventListener("click", async () => {
      const name = form.elements.name;
      if (name && name.required && !name.value.trim()) {
        name.focus();
        name.reportValidity();
        return;
      }
      button.disabled = true;
      try {
        send(await begin({ optionsJSON }));
      } catch {
        button.disabled = false;
        button.focus();
      }
    });
    // The browser offers a passkey in the field for the name (conditional mediation), where it can.
    if ("passkeyWaits" in form.dataset) {
      kit.browserSupportsWebAuthnAutofill().then((able) => {
        if (able) kit.startAuthentication({ optionsJSON, useBrowserAutofill: true }).then(send, () => {});
      });
    }
  }
})();
