<?php

declare(strict_types=1);

namespace Sso;

/** Finds the user of the program for the claims of somebody who signed in. */
interface LocalUsers
{
    /**
     * Return the user of the program, or null where the program has no account for this user.
     *
     * @param array<string, mixed> $claims the claims, such as sub, name, email, email_verified, nip, local_user_id and roles
     * @return mixed an object of the class that the framework expects of users
     * @throws \SsoException when more than one user fits
     */
    public function find(array $claims);
}
