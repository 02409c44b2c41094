// Prepended to results.js where a panel has pages: a button turns to another one, and its top comes into view.
element.addEventListener('click', event => {
  const to = event.target.closest('.dh-to-page');
  if (!to) return;
  trigger('turn', {page: Number(to.dataset.page)});
  if (element.getBoundingClientRect().top < 0) element.scrollIntoView();
});
