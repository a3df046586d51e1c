// The shell: toasts.
(() => {
})();
