// Fills in the code of an SMS where the browser can read it (WebOTP). The page works without this file.
(() => {
  const field = document.getElementById("code");
  if (!("OTPCredential" in window) || !field || field.value) return;
  const ended = new AbortController();
  field.form.addEventListener("submit", () => ended.abort());
  navigator.credentials
    .get({ otp: { transport: ["sms"] }, signal: ended.signal })
    .then((otp) => {
      if (!otp || field.value) return; // what was typed stays
      field.value = otp.code;
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.form.querySelector("button:not([type=button])").focus();
    })
    .catch(() => {}); // refused or ended: the code is typed
})();
