<?php

declare(strict_types=1);

namespace Sso\CodeIgniter4;

/** Keeps what belongs to a browser in CodeIgniter's session, with every handler of it. */
final class CodeIgniterSession extends \SsoPhpSession
{
    /** Let CodeIgniter start its session with its own settings. */
    public function start(): void
    {
        service('session');
    }

    /** End a session: this one (null) goes on empty under a new id. */
    public function destroy($id = null): void
    {
        $this->start();
        if ($id !== null) {
            parent::destroy($id);
            return;
        }
        $_SESSION = [];
        service('session')->regenerate(true);
    }
}
