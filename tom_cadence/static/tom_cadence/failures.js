/* Says when a part of the page could not be fetched: htmx leaves the page as it was, and tells nobody. */
(function () {
  'use strict';

  const ID = 'cadences-failed';
  const LOOK = 'Load the page again to see how things stand.';

  function tell(text) {
    let place = document.getElementById(ID);
    if (!place) {
      place = document.createElement('div');
      place.id = ID;
      place.className = 'alert alert-danger';
      place.setAttribute('role', 'alert');
      (document.querySelector('.cadences, .cadence-page') || document.body).prepend(place);
    }
    place.textContent = text;
    place.scrollIntoView({block: 'nearest'});
  }

  document.addEventListener('htmx:responseError', function (event) {
    const status = event.detail.xhr.status;
    tell(status === 404 ? `This is not there any more, or you may not see it any more. ${LOOK}`
      : `The server could not do this (HTTP ${status}). ${LOOK}`);
  });
  for (const name of ['htmx:sendError', 'htmx:timeout']) {
    document.addEventListener(name, function () { tell(`The server did not answer. ${LOOK}`); });
  }
  document.addEventListener('htmx:afterSwap', function () {
    const place = document.getElementById(ID);
    if (place) place.remove();
  });
})();
