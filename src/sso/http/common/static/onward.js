// Pages that only pass on: a form that is sent by itself, and a page that leaves once its frames are loaded.
(function () {
  var form = document.querySelector("form[data-auto]");
  if (form) {
    form.submit();
    return;
  }
  var link = document.querySelector("a[data-onward]");
  if (!link) return;
  var gone = false;
  function leave() {
    if (gone) return;
    gone = true;
    window.location.replace(link.href);
  }
  // The page is loaded when its frames are; an application that does not answer holds nobody up for long.
  window.addEventListener("load", leave);
  window.setTimeout(leave, 5000);
})();
