<?php

declare(strict_types=1);

namespace Sso\Laravel;

use Illuminate\Session\SessionManager;

/** Keeps what belongs to a browser in Laravel's session, with every driver of it. */
final class LaravelSession
{
    private SessionManager $sessions;

    public function __construct(SessionManager $sessions)
    {
        $this->sessions = $sessions;
    }

    /** @return mixed */
    public function get(string $name)
    {
        return $this->sessions->driver()->get($name);
    }

    /** @param mixed $value null deletes it */
    public function set(string $name, $value): void
    {
        if ($value === null) {
            $this->sessions->driver()->forget($name);
        } else {
            $this->sessions->driver()->put($name, $value);
        }
    }

    public function renew(): void
    {
        $this->sessions->driver()->migrate(true);
    }

    public function id(): string
    {
        return $this->sessions->driver()->getId();
    }

    /** End a session: this one (null), or that of another browser. */
    public function destroy(?string $id = null): void
    {
        if ($id === null) {
            $this->sessions->driver()->invalidate();
        } else {
            $this->sessions->driver()->getHandler()->destroy($id);
        }
    }
}
