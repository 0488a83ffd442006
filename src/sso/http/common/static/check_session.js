// Answers pages of applications that ask whether the session is still the same (Session Management section 3.2).
(function () {
  var cookie = document.currentScript.getAttribute("data-cookie") + "=";

  function browserState() {
    var found = document.cookie.split("; ").filter(function (one) {
      return one.indexOf(cookie) === 0;
    });
    return found.length ? found[0].slice(cookie.length) : "";
  }

  window.addEventListener("message", function (event) {
    if (!event.source || event.source === window || typeof event.data !== "string") return;
    var space = event.data.lastIndexOf(" ");
    var dot = event.data.lastIndexOf(".");
    var answer = "error";
    if (space > 0 && dot > space + 1 && dot < event.data.length - 1) {
      var clientId = event.data.slice(0, space);
      var salt = event.data.slice(dot + 1);
      var state = browserState();
      var expected = sha256([clientId, event.origin, state, salt].join(" ")) + "." + salt;
      answer = state && event.data.slice(space + 1) === expected ? "unchanged" : "changed";
    }
    event.source.postMessage(answer, event.origin);
  });
})();
