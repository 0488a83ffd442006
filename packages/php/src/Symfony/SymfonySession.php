<?php

declare(strict_types=1);

namespace Sso\Symfony;

use Symfony\Component\HttpFoundation\RequestStack;
use Symfony\Component\HttpFoundation\Session\SessionInterface;

/** Keeps what belongs to a browser in Symfony's session. A visitor who has none gets none by being asked for. */
final class SymfonySession
{
    private RequestStack $requests;

    public function __construct(RequestStack $requests)
    {
        $this->requests = $requests;
    }

    private function session(): SessionInterface
    {
        return $this->requests->getSession();
    }

    /** @return mixed */
    public function get(string $name)
    {
        $request = $this->requests->getCurrentRequest();
        $exists = $request !== null && $request->hasSession() && ($request->hasPreviousSession() || $this->session()->isStarted());
        return $exists ? $this->session()->get($name) : null;
    }

    /** @param mixed $value null deletes it */
    public function set(string $name, $value): void
    {
        if ($value === null) {
            $this->session()->remove($name);
        } else {
            $this->session()->set($name, $value);
        }
    }

    public function renew(): void
    {
        $this->session()->migrate(true);
    }

    public function id(): string
    {
        $this->session()->start();
        return $this->session()->getId();
    }

    /** End a session: this one (null), or that of another browser, with the save handler that is configured. */
    public function destroy(?string $id = null): void
    {
        if ($id === null) {
            $this->session()->invalidate();
            return;
        }
        if ($this->session()->isStarted()) { // makes the storage, which registers the save handler
            $this->session()->save();
        }
        (new \SsoPhpSession())->destroy($id);
    }
}
