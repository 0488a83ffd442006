<?php

declare(strict_types=1);

namespace Sso\Laravel;

use Illuminate\Auth\GuardHelpers;
use Illuminate\Contracts\Auth\Guard;
use Sso\LocalUsers;
use SsoClient;

/** The guard `sso`: who is signed in is asked of SsoClient with every request, so that an ended session counts at once. */
final class SsoGuard implements Guard
{
    use GuardHelpers;

    private SsoClient $client;
    private ?LocalUsers $users;

    public function __construct(SsoClient $client, ?LocalUsers $users)
    {
        $this->client = $client;
        $this->users = $users;
    }

    /** @return array<string, mixed>|null the claims of the user */
    public function claims(): ?array
    {
        return $this->client->user();
    }

    public function user()
    {
        if ($this->user === null && ($claims = $this->claims()) !== null) {
            $this->user = $this->users === null ? new SsoUser($claims) : $this->users->find($claims);
        }
        return $this->user;
    }

    /** Passwords are the provider's: none is right here. */
    public function validate(array $credentials = [])
    {
        return false;
    }

    public function hasRole(string $role, ?string $unit = null): bool
    {
        $claims = $this->claims();
        return $claims !== null && SsoClient::hasRole($claims, $role, $unit);
    }
}
