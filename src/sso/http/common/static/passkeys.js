// Passkeys: the one thing that pages cannot do without a script. What the browser answers is sent with the form.
(() => {
  const kit = globalThis.SimpleWebAuthnBrowser;
  // What went wrong is said on the page (WCAG 2.2 success criteria 3.3.1 and 4.1.3).
  const tell = (form, which) => {
    const place = form.querySelector("[data-passkey-said]");
    const box = document.createElement("div");
    const title = document.createElement("h2");
    const text = document.createElement("p");
    box.className = "problem";
    title.textContent = place.dataset.title;
    text.textContent = place.dataset[which] || place.dataset.other;
    box.append(title, text);
    place.replaceChildren(box);
  };
  const NAMES = {
    NotAllowedError: "notAllowed",
    AbortError: "notAllowed",
    TimeoutError: "notAllowed",
    InvalidStateError: "registered",
    SecurityError: "security",
    NotSupportedError: "unsupported",
    ConstraintError: "constraint",
  };
  if (!kit || !kit.browserSupportsWebAuthn()) {
    for (const form of document.querySelectorAll("form[data-passkey]")) {
      if (form.querySelector("[data-needed]")) tell(form, "unsupported");
    }
    return;
  }
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
      form.querySelector("[data-passkey-said]").replaceChildren();
      try {
        send(await begin({ optionsJSON }));
      } catch (error) {
        button.disabled = false;
        button.focus();
        const cause = error.cause && error.cause.name;
        tell(form, NAMES[error.name] || NAMES[cause] || "other");
        offer();
      }
    });
    // The browser offers a passkey in the field for the name (conditional mediation), where it can. Nobody asked for
    // it, so nothing is said where it ends without one.
    const offer = () => {
      if (!("passkeyWaits" in form.dataset)) return;
      kit.browserSupportsWebAuthnAutofill().then((able) => {
        if (!able || button.disabled) return; // the button was pressed meanwhile: its request goes on
        // The library asks the browser again and then ends the button's request: it gets the answer at once instead.
        PublicKeyCredential.isConditionalMediationAvailable = () => Promise.resolve(able);
        kit.startAuthentication({ optionsJSON, useBrowserAutofill: true }).then(send, () => {});
      });
    };
    offer();
  }
})();
